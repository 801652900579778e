"""Adapters merged into a checkpoint: what opens is what the adapter over its base is."""

import json
import shutil

import numpy as np
import pytest

from bge_fast import FlagModel, FlagReranker, merge_lora
from bge_fast.errors import ModelFormatError, ModelNotFoundError, UnsupportedModelError
from tests.fixtures.stored_tensors import as_stored, write_shards
from tests.support.adapters import adapter, factors, lora
from tests.support.checkpoints import checkpoint
from tests.support.malformed import QUERY, WEIGHTS, WORDS, read_safetensors, split, turn_into_pickled, turn_into_shards

TEXTS = ["a wing in a slipstream", "heat transfer", ""]


@pytest.mark.parametrize("base_is", ["whole", "torch's", "shards"])
def test_the_merged_checkpoint_is_the_adapter_over_its_base(own_checkpoint, tmp_path, base_is):
    before = read_safetensors(own_checkpoint / WEIGHTS)
    if base_is == "torch's":
        turn_into_pickled(own_checkpoint)
    elif base_is == "shards":
        turn_into_shards(own_checkpoint)
    folder = adapter(tmp_path / "lora", str(own_checkpoint), lora(QUERY, (32, 32)))
    out = merge_lora(folder, tmp_path / "out")
    assert np.array_equal(FlagModel(out).encode(TEXTS), FlagModel(folder).encode(TEXTS))
    after = {
        key: one for file in (tmp_path / "out").glob("*.safetensors") for key, one in read_safetensors(file).items()
    }
    assert after.keys() == before.keys()
    assert [key for key in before if not np.array_equal(after[key], before[key])] == [QUERY]


@pytest.mark.parametrize("kind", ["F16", "BF16"])
def test_the_bases_type_is_kept(own_checkpoint, tmp_path, kind):
    before = read_safetensors(own_checkpoint / WEIGHTS)
    write_shards(own_checkpoint, before, kind, 1)
    merge_lora(
        adapter(tmp_path / "lora", "elsewhere", lora(QUERY, (32, 32))), tmp_path / "out", base=str(own_checkpoint)
    )
    header, data = split((tmp_path / "out" / WEIGHTS).read_bytes())
    a, b = factors((32, 32))
    half = np.frombuffer(as_stored(before[QUERY], kind), np.uint16)
    stored = (half.astype(np.uint32) << 16).view(np.float32) if kind == "BF16" else half.view(np.float16)
    wanted = as_stored(stored.astype(np.float32).reshape(32, 32) + np.float32(2) * (b @ a), kind)
    start, end = header[QUERY]["data_offsets"]
    assert data[start:end] == wanted
    start, end = header[WORDS]["data_offsets"]
    assert data[start:end] == as_stored(before[WORDS], kind)


def test_a_layer_trained_as_a_whole_is_added(own_checkpoint, tmp_path):
    base = shutil.copytree(checkpoint("tiny-reranker-bert"), tmp_path / "base")
    head = {"classifier.modules_to_save.weight": np.full((1, 32), 0.25, np.float32)}
    folder = adapter(tmp_path / "lora", str(base), {**lora(f"bert.{QUERY}", (32, 32)), **head})
    out = merge_lora(folder, tmp_path / "out")
    pairs = [(TEXTS[0], TEXTS[1]), (TEXTS[1], TEXTS[1])]
    assert FlagReranker(out).compute_score(pairs) == FlagReranker(folder).compute_score(pairs)
    new = {"score.modules_to_save.weight": np.ones((1, 32), np.float32)}
    out = merge_lora(adapter(tmp_path / "more", str(own_checkpoint), new), tmp_path / "with-a-head")
    assert read_safetensors(tmp_path / "with-a-head" / WEIGHTS)["score.weight"].tolist() == [[1] * 32]


def test_heads_of_m3_go_with_it(tmp_path):
    base = checkpoint("tiny-m3")
    merge_lora(adapter(tmp_path / "lora", str(base), lora(QUERY, (32, 32))), tmp_path / "out")
    for file in ("sparse_linear.pt", "colbert_linear.pt"):
        assert (tmp_path / "out" / file).read_bytes() == (base / file).read_bytes()


def test_what_cannot_be_merged_is_named(own_checkpoint, tmp_path):
    with pytest.raises(ModelNotFoundError, match="is no folder with adapter_config"):
        merge_lora(own_checkpoint, tmp_path / "out")
    folder = adapter(tmp_path / "lora", str(own_checkpoint), lora(QUERY, (32, 16)))
    with pytest.raises(ModelFormatError, match=f"changes {QUERY} of shape"):
        merge_lora(folder, tmp_path / "out")
    folder = adapter(tmp_path / "lora", str(own_checkpoint), lora(QUERY, (32, 32)), use_dora=True)
    with pytest.raises(UnsupportedModelError, match="DoRA"):
        merge_lora(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_adapter_with_tokens_of_its_own_is_refused(own_checkpoint, tmp_path):
    folder = adapter(tmp_path / "lora", str(own_checkpoint), lora(QUERY, (32, 32)))
    tokenizer = json.loads((own_checkpoint / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": 99_999, "content": "<instruct>"})
    (tmp_path / "lora" / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelFormatError, match="different vocabularies: id 99999 is None"):
        merge_lora(folder, tmp_path / "out")


def test_the_tokenizer_is_the_adapters(own_checkpoint, tmp_path):
    folder = adapter(tmp_path / "lora", str(own_checkpoint), lora(QUERY, (32, 32)))
    before = FlagModel(folder).encode(TEXTS)
    tokenizer = json.loads((own_checkpoint / "tokenizer.json").read_text())
    tokenizer["post_processor"]["single"].append(tokenizer["post_processor"]["single"][-1])
    (tmp_path / "lora" / "tokenizer.json").write_text(json.dumps(tokenizer))
    trained_so = FlagModel(folder).encode(TEXTS)
    assert not np.allclose(trained_so, before, atol=1e-3)
    assert np.array_equal(FlagModel(merge_lora(folder, tmp_path / "out")).encode(TEXTS), trained_so)
