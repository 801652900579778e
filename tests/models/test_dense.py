"""`FlagModel`: the API around the numbers, as the FlagEmbedding contract has it."""

import json
import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import bge_fast
from bge_fast import FlagModel
from bge_fast.errors import ModelFormatError, NumericsError
from tests.support.checkpoints import SOURCES, checkpoint, edit_json

TEXTS = [
    "A wing in supersonic flow.",
    "",
    "   ",
    "Der Flügel",
    "机翼在超音速气流中",
    "x" * 300,
    "boundary layer " * 200,
]


def cosine_matrix_is_one(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a - b).max() <= 1e-6)


# ── shapes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_shapes_and_types(bert):
    one, many, none = bert.encode("text"), bert.encode(TEXTS), bert.encode([])
    assert (one.shape, many.shape, none.shape) == ((32,), (len(TEXTS), 32), (0, 32))
    assert one.dtype == many.dtype == none.dtype == np.float32
    assert np.allclose(np.linalg.norm(many, axis=1), 1, atol=1e-6)
    many[0] = 0  # The caller owns the memory.


@pytest.mark.parametrize("batch_size", [1, 5, len(TEXTS), 1000])
def test_rows_come_back_in_input_order_whatever_the_batches(bert, batch_size):
    alone = np.stack([bert.encode(text) for text in TEXTS])
    assert cosine_matrix_is_one(bert.encode(TEXTS, batch_size=batch_size), alone)
    assert cosine_matrix_is_one(bert.encode(TEXTS[::-1], batch_size=batch_size)[::-1], alone)


@pytest.mark.parametrize(
    "wrap",
    [tuple, iter, np.array, lambda t: np.array(t, dtype=object), lambda t: dict.fromkeys(t).keys()],
    ids=["tuple", "generator", "numpy", "numpy-object", "dict-view"],
)
def test_every_iterable_of_texts_is_accepted(bert, wrap):
    assert cosine_matrix_is_one(bert.encode(wrap(TEXTS)), bert.encode(TEXTS))


def test_pandas_series(bert):
    import pandas

    assert cosine_matrix_is_one(bert.encode(pandas.Series(TEXTS, index=range(10, 17))), bert.encode(TEXTS))


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("sentences", "error", "said"),
    [
        (None, TypeError, "NoneType"),
        (7, TypeError, "int"),
        (b"bytes", TypeError, "bytes"),
        ({"a": 1}, TypeError, "dict"),
        ({"a"}, TypeError, "set"),
        (["fine", None], TypeError, r"texts\[1\] is NoneType"),
        (["fine", float("nan")], TypeError, r"texts\[1\] is float"),
        (["fine", "fine", b"x"], TypeError, r"texts\[2\] is bytes"),
        ([("query", "passage")], TypeError, "compute_score"),
        (np.array([["a", "b"]]), ValueError, r"\(1, 2\)"),
        (["fine", "bad \ud800 text"], ValueError, r"texts\[1\].*character 4"),
    ],
)
def test_bad_texts_are_named(bert, sentences, error, said):
    before = bert.encode("still usable")
    with pytest.raises(error, match=said):
        bert.encode(sentences)
    assert np.array_equal(bert.encode("still usable"), before)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"batch_size": 0}, ValueError, "batch_size.*0"),
        ({"batch_size": "8"}, TypeError, "batch_size.*'8'"),
        ({"batch_size": 2.0}, TypeError, r"batch_size.*2\.0"),
        ({"max_length": -1}, ValueError, "max_length.*-1"),
        ({"max_length": True}, TypeError, "max_length"),
        ({"padding": True}, TypeError, "padding"),
        ({"instruction": "x", "instruction_format": "{}"}, ValueError, "leaves the text out"),
        ({"instruction": "x", "instruction_format": "{}{"}, ValueError, "not valid"),
        ({"instruction": "x", "instruction_format": "{}{}{}"}, ValueError, "not valid"),
    ],
)
def test_bad_call_arguments_are_named(bert, arguments, error, said):
    with pytest.raises(error, match=said):
        bert.encode(["text"], **arguments)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"pooling_method": "max"}, NotImplementedError, "max.*cls.*mean"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"truncate_dim": 0}, ValueError, "truncate_dim"),
        ({"query_max_length": -5}, ValueError, "query_max_length"),
        ({"query_instruction_format": "{}"}, ValueError, "leaves the text out"),
        ({"query_instruction_format": None}, ValueError, "None"),
        ({"passage_instruction_format": "{}{"}, ValueError, "not valid"),
        ({"passage_max_length": "8"}, TypeError, "passage_max_length"),
        ({"threads": 0}, ValueError, "threads"),
        ({"precision": "int3"}, ValueError, "fp32.*fp16"),
        ({"precision": "fp16", "devices": "cpu"}, ValueError, "CUDA"),
        ({"precision": "fp16"}, ValueError, "CUDA"),
        ({"on_truncate": "shout"}, ValueError, "ignore"),
        ({"devices": "tpu"}, ValueError, "tpu.*cuda:0"),
        ({"devices": []}, ValueError, "no device"),
        ({"devices": 1.5}, ValueError, "1.5"),
        ({"devices": ["cpu", "cuda:0"]}, ValueError, "not on both"),
        ({"devices": "cpu", "device": "cuda:0"}, ValueError, "differ"),
    ],
)
def test_bad_options_are_named(tiny_bert, options, error, said):
    with pytest.raises(error, match=said):
        FlagModel(str(tiny_bert), **options)


def test_call_keywords_of_flagembedding_without_effect(bert):
    ignored = {"pad_to_multiple_of": 8, "padding_side": "left", "return_attention_mask": True, "verbose": False}
    assert np.array_equal(bert.encode("text", **ignored), bert.encode("text"))


# ── numbers around the vector ─────────────────────────────────────────────────────────────────────────────────────────


def test_truncate_dim_comes_before_normalization(tiny_bert):
    full = FlagModel(str(tiny_bert), normalize_embeddings=False).encode(TEXTS)
    short = FlagModel(str(tiny_bert), truncate_dim=8).encode(TEXTS)
    wanted = full[:, :8] / np.linalg.norm(full[:, :8], axis=1, keepdims=True)
    assert np.allclose(short, wanted, atol=1e-6)
    assert FlagModel(str(tiny_bert), truncate_dim=8).encode([]).shape == (0, 8)
    assert np.array_equal(
        FlagModel(str(tiny_bert), truncate_dim=999).encode("x"), FlagModel(str(tiny_bert)).encode("x")
    )


def test_attributes_are_live(tiny_bert):
    model = FlagModel(str(tiny_bert))
    unit = model.encode("text")
    model.normalize_embeddings = False
    raw = model.encode("text")
    assert not np.allclose(raw, unit)
    assert np.allclose(raw / np.linalg.norm(raw), unit, atol=1e-6)
    model.pooling_method = "mean"
    assert not np.allclose(model.encode("text"), raw)
    model.truncate_dim = 4
    assert model.encode("text").shape == (4,)
    model.truncate_dim = 0
    with pytest.raises(ValueError, match="truncate_dim"):
        model.encode("text")


# ── instructions and lengths ──────────────────────────────────────────────────────────────────────────────────────────


def test_instructions(tiny_bert):
    model = FlagModel(
        str(tiny_bert),
        query_instruction_for_retrieval="Find 100% {this}: ",
        query_instruction_format=r"<{}>\n{}",
        passage_instruction_for_retrieval="passage",
        passage_instruction_format="{}: {}",
    )
    text = "braces {} and 100%"
    assert np.array_equal(model.encode_queries(text), model.encode(f"<Find 100% {{this}}: >\n{text}"))
    assert np.array_equal(model.encode_corpus([text]), model.encode([f"passage: {text}"]))
    assert np.array_equal(model.encode(text), FlagModel(str(tiny_bert)).encode(text))
    assert np.array_equal(model.encode(text, instruction="i"), model.encode("i" + text))
    model.query_instruction_for_retrieval = ""
    assert np.array_equal(model.encode_queries(text), model.encode(f"<>\n{text}"))
    model.query_instruction_for_retrieval = None
    assert np.array_equal(model.encode_queries(text), model.encode(text))
    with pytest.raises(TypeError, match="instruction"):
        model.encode_queries(text, instruction="x")
    assert FlagModel.get_detailed_instruct(r"{}\n{}", "a", "b") == "a\nb"


def test_each_method_takes_its_length(tiny_bert):
    model = FlagModel(str(tiny_bert), query_max_length=8, passage_max_length=16)
    text = "boundary layer flow " * 50
    assert np.array_equal(model.encode_queries(text), model.encode(text, max_length=8))
    assert np.array_equal(model.encode_corpus(text), model.encode(text, max_length=16))
    assert np.array_equal(model.encode(text), model.encode(text, max_length=16))
    assert not np.allclose(model.encode(text, max_length=8), model.encode(text, max_length=16))
    model.query_max_length = None
    assert np.array_equal(model.encode_queries(text), model.encode(text, max_length=16))
    model.passage_max_length = None
    assert np.array_equal(model.encode(text), model.encode(text, max_length=512))


def test_a_length_over_the_limit_is_lowered_with_one_warning(tiny_xlmr):
    model = FlagModel(str(tiny_xlmr))
    text = "word " * 2000
    with pytest.warns(UserWarning, match="max_length=8192.*512"):
        long = model.encode(text, max_length=8192)
    assert np.array_equal(long, model.encode(text, max_length=9000))  # No second warning: they are errors here.
    assert np.array_equal(long, model.encode(text))


@pytest.mark.parametrize("length", [0, 1, 2])
def test_no_room_for_text_leaves_the_special_tokens(bert, xlmr, length):
    for model in (bert, xlmr):
        assert np.allclose(model.encode("some text", max_length=length), model.encode(""), atol=1e-6)


def test_on_truncate(tiny_bert):
    texts = ["short", "long " * 600]
    with pytest.warns(UserWarning, match="1 of 2 texts.*512"):
        FlagModel(str(tiny_bert), on_truncate="warn").encode(texts)
    strict = FlagModel(str(tiny_bert), on_truncate="error")
    with pytest.raises(ValueError, match=r"texts\[1\] has 1202 tokens.*512"):
        strict.encode(texts)
    assert strict.encode(texts[:1]).shape == (1, 32)


# ── the object ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_attributes_callers_read(bert, tiny_bert):
    assert bert.target_devices == ["cpu"]
    assert bert.pool is None
    assert bert.stop_self_pool() is None
    assert bert.stop_self_pool() is None
    assert bert.kwargs == {}
    assert bert.model_name_or_path == str(tiny_bert)
    assert bert.use_fp16 is True
    assert bert.model.config.hidden_size == 32
    assert bert.model.config._name_or_path == str(tiny_bert)
    bert.model.config._name_or_path = "renamed"
    assert bert.model.config._name_or_path == "renamed"
    assert FlagModel.DEFAULT_POOLING_METHOD == "cls"
    assert isinstance(bert, bge_fast.AbsEmbedder)
    assert FlagModel.get_target_devices("cuda:1") == ["cuda:1"]


def test_encode_single_device(bert):
    assert np.array_equal(bert.encode_single_device("text"), bert.encode("text"))
    assert np.array_equal(bert.encode_single_device(["text"], device="cpu"), bert.encode(["text"]))
    with pytest.raises(ValueError, match="cuda:0"):
        bert.encode_single_device("text", device="cuda:0")


@pytest.mark.parametrize(("source", "file"), [("checkpoint", "model.safetensors"), ("model folder", "onnx/model.onnx")])
def test_info_tells_what_runs(source, file):
    folder = SOURCES[source]("tiny-bert")
    info = FlagModel(str(folder)).info()
    assert info["checkpoint"] == str(folder)
    assert (info["source"], info["folder"], info["low_memory"]) == (source, str(folder), False)
    assert (info["kind"], info["dimension"], info["max_length"]) == ("embedder", 32, 512)
    assert (info["device"], info["precision"], info["pooling_method"]) == ("cpu", "fp32", "cls")
    assert info["execution_provider"] == "CPUExecutionProvider"
    assert info["runtime_version"].startswith("1.")
    assert Path(info["runtime_library"]).is_file()
    assert info["files"] == [str((folder / file).resolve())]
    if source == "model folder":
        assert info["parity"]["max_abs"] <= 1e-4
    json.dumps(info)


def test_unknown_constructor_keywords_are_kept_with_one_warning(tiny_bert):
    with pytest.warns(UserWarning, match="examples_for_task") as caught:
        model = FlagModel(str(tiny_bert), examples_for_task=[1], encode="not this")
    assert caught[0].filename == __file__
    assert model.examples_for_task == [1]
    assert callable(model.encode)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FlagModel(str(tiny_bert), examples_for_task=[2])


def test_pooling_that_the_checkpoint_did_not_mean_is_warned_about(own_checkpoint):
    side_file = own_checkpoint / "1_Pooling" / "config.json"
    edit_json(side_file, pooling_mode_cls_token=False, pooling_mode_mean_tokens=True)
    with pytest.warns(UserWarning, match="mean pooling"):
        FlagModel(str(own_checkpoint))
    FlagModel(str(own_checkpoint), pooling_method="mean")


@pytest.mark.parametrize(
    ("declared", "advice"),
    [({"pooling_mode": "mean"}, "Pass pooling_method='mean'"), ({"pooling_mode_max_tokens": True}, "not supported")],
)
def test_what_the_pooling_warning_advises(own_checkpoint, declared, advice):
    (own_checkpoint / "1_Pooling" / "config.json").write_text(json.dumps(declared))
    with pytest.warns(UserWarning, match=advice):
        FlagModel(str(own_checkpoint))


def test_close_and_with(tiny_bert):
    with FlagModel(str(tiny_bert)) as model:
        model.encode("text")
    with pytest.raises(ValueError, match="closed"):
        model.encode("text")
    model.close()


def test_pickles_as_path_and_options(tiny_bert):
    model = FlagModel(str(tiny_bert), pooling_method="mean", query_instruction_for_retrieval="q: ")
    model.normalize_embeddings = False
    stored = pickle.dumps(model)
    assert len(stored) < 3000
    assert np.array_equal(pickle.loads(stored).encode_queries("text"), model.encode_queries("text"))


def test_tensors_need_torch(bert):
    with pytest.raises(ImportError, match="needs torch"):
        bert.encode("text", convert_to_numpy=False)


@pytest.mark.parametrize(("source", "file"), [("checkpoint", "model.safetensors"), ("model folder", "onnx/model.onnx")])
def test_a_vector_that_is_not_finite_is_refused(source, file, tmp_path):
    """The embedding row of one word is made infinite in the weights."""
    folder = shutil.copytree(SOURCES[source]("tiny-bert"), tmp_path / "own")
    healthy = FlagModel(str(SOURCES[source]("tiny-bert")))
    poisoned_id = healthy.tokenizer("wing")["input_ids"][1]
    row = checkpoint_row("embeddings.word_embeddings.weight", poisoned_id)
    raw = (folder / file).read_bytes()
    assert raw.count(row) == 1
    (folder / file).write_bytes(raw.replace(row, np.full(32, np.inf, np.float32).tobytes()))
    model = FlagModel(str(folder))
    with pytest.raises(NumericsError, match=r"texts\[2\]"):
        model.encode(["fine", "also fine", "a wing", "fine"])
    assert np.array_equal(model.encode("fine"), healthy.encode("fine"))


def checkpoint_row(tensor: str, row: int) -> bytes:
    path = checkpoint("tiny-bert") / "model.safetensors"
    raw = path.read_bytes()
    header_size = int.from_bytes(raw[:8], "little")
    start = json.loads(raw[8 : 8 + header_size])[tensor]["data_offsets"][0] + 8 + header_size
    return raw[start + row * 128 : start + (row + 1) * 128]


def test_a_dimension_that_contradicts_the_graph_is_refused(own_folder):
    (own_folder / "bge_fast.json").unlink()
    edit_json(own_folder / "config.json", hidden_size=64)
    with pytest.raises(ModelFormatError, match="32.*64"):
        FlagModel(str(own_folder)).encode("text")


def test_importing_is_light():
    code = (
        "import sys, bge_fast; heavy = {'torch', 'transformers', 'huggingface_hub', 'tqdm'} & sys.modules.keys();"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_is_printed(tiny_bert):
    code = (
        f"from bge_fast import FlagModel; m = FlagModel({str(tiny_bert)!r}); m.encode([f'text {{n}}' for n in range(1000)])\n"
        "try: FlagModel('/nowhere/at/all')\nexcept FileNotFoundError: pass"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert (done.stdout, done.stderr) == (b"", b"")


@pytest.mark.parametrize("broken", [None, object()])
def test_a_stderr_that_is_no_terminal_is_no_matter(bert, monkeypatch, broken):
    monkeypatch.setattr(sys, "stderr", broken)
    assert bert.encode(["text"] * 40).shape == (40, 32)


def test_numbers_beyond_all_limits_mean_no_limit(tiny_bert, bert):
    model = FlagModel(str(tiny_bert), truncate_dim=10**20, batch_size=10**20)
    assert np.array_equal(model.encode("text"), bert.encode("text"))


def test_progress_bar_when_asked(bert, capfd):
    bert.encode(["text"] * 40, show_progress_bar=True)
    assert "40/40" in capfd.readouterr().err
    bert.encode(["text"] * 40)
    assert capfd.readouterr().err == ""
