"""Which files of a folder are opened: the order of choice, links, shards, names."""

import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bge_fast import FlagModel, _core
from bge_fast.errors import ModelFormatError, ModelNotFoundError, UnsupportedModelError
from bge_fast.opening import engine
from bge_fast.opening.hub import find_model
from tests.support.malformed import (
    PICKLED,
    WEIGHTS,
    pickled,
    read_safetensors,
    safetensors,
    tiny_tensors,
    turn_into_pickled,
    turn_into_shards,
)

TEXTS = ["a wing", "boundary layer flow", "", "wing " * 700]


def opened(folder: Path) -> tuple[str, list[str]]:
    """Where the model that is in use came from, and the names of its files."""
    info = FlagModel(str(folder)).info()
    return info["source"], [str(Path(file).relative_to(folder.resolve())) for file in info["files"]]


# ── the order of choice ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_best_of_what_there_is_is_opened(own_folder, tiny_bert, bert):
    """All kinds in one folder; the best one goes, again and again."""
    sharded = shutil.copytree(tiny_bert, own_folder.parent / "sharded")
    shards = [path.name for path in turn_into_shards(sharded, 2)]
    for path in sharded.glob("model*"):
        shutil.copy(path, own_folder)
    shutil.copy(tiny_bert / WEIGHTS, own_folder)
    (own_folder / PICKLED).write_bytes(pickled(read_safetensors(tiny_bert / WEIGHTS)))
    for wanted, goes in [
        (("model folder", ["onnx/model.onnx"]), "bge_fast.json"),
        (("checkpoint", [WEIGHTS]), WEIGHTS),
        (("checkpoint", shards), f"{WEIGHTS}.index.json"),
        (("checkpoint", [PICKLED]), PICKLED),
        (("onnx", ["onnx/model.onnx"]), "onnx/model.onnx"),
    ]:
        assert opened(own_folder) == wanted
        assert np.abs(FlagModel(str(own_folder)).encode(TEXTS) - bert.encode(TEXTS)).max() <= 2e-6
        (own_folder / goes).unlink()
    with pytest.raises(ModelNotFoundError, match=r"neither weights \(model\.safetensors, pytorch_model\.bin"):
        FlagModel(str(own_folder))


def test_a_graph_beside_the_other_files_is_opened_last(own_folder, bert):
    (own_folder / "bge_fast.json").unlink()
    (own_folder / "onnx" / "model.onnx").rename(own_folder / "model.onnx")
    assert opened(own_folder) == ("onnx", ["model.onnx"])
    shutil.copy(bert.info()["files"][0], own_folder)
    assert opened(own_folder) == ("checkpoint", [WEIGHTS])


def test_a_precision_that_a_graph_does_not_have_prints_the_command(own_checkpoint):
    (own_checkpoint / WEIGHTS).rename(own_checkpoint / "model.onnx")
    with pytest.raises(ModelNotFoundError) as caught:
        find_model(str(own_checkpoint), ["fp16"])
    command = f"bge-fast-export {own_checkpoint} -o checkpoint-onnx --precision fp16,fp32"
    assert command in str(caught.value)
    assert find_model(str(own_checkpoint), ["fp16", "fp32"]).computation == "fp32"


def test_a_checkpoint_is_computed_in_what_is_asked_for_first(own_checkpoint):
    assert [find_model(str(own_checkpoint), asked).computation for asked in (["fp16", "fp32"], ["fp32", "fp16"])] == [
        "fp16",
        "fp32",
    ]


def test_an_adapter_without_its_model_is_named(own_checkpoint):
    (own_checkpoint / WEIGHTS).rename(own_checkpoint / "adapter_model.safetensors")
    (own_checkpoint / "adapter_config.json").write_text("{}")
    with pytest.raises(UnsupportedModelError, match="is an adapter.*merge it"):
        FlagModel(str(own_checkpoint))


# ── links and paths ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_weight_file_may_be_a_link(own_checkpoint, tmp_path, bert):
    real = (own_checkpoint / WEIGHTS).rename(tmp_path / "a name without an ending")
    (own_checkpoint / WEIGHTS).symlink_to(os.path.relpath(real, own_checkpoint))
    model = FlagModel(str(own_checkpoint))
    assert model.info()["files"] == [str(real.resolve())]
    assert np.array_equal(model.encode(TEXTS), bert.encode(TEXTS))


def test_the_folder_may_be_a_link(own_checkpoint, tmp_path, bert):
    (tmp_path / "one").symlink_to(own_checkpoint)
    (tmp_path / "two").symlink_to(tmp_path / "one")
    model = FlagModel(str(tmp_path / "two"))
    assert model.info()["files"] == [str((own_checkpoint / WEIGHTS).resolve())]
    assert model.info()["folder"] == str(tmp_path / "two")
    assert np.array_equal(model.encode(TEXTS), bert.encode(TEXTS))


def test_every_shard_may_be_a_link_to_elsewhere(own_checkpoint, tmp_path, bert):
    for place, shard in enumerate(turn_into_shards(own_checkpoint)):
        target = tmp_path.joinpath(*["elsewhere"] * place, f"blob-{place}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shard.rename(target)
        shard.symlink_to(target)
    model = FlagModel(str(own_checkpoint))
    assert [Path(file).name for file in model.info()["files"]] == ["blob-0", "blob-1", "blob-2"]
    assert np.array_equal(model.encode(TEXTS), bert.encode(TEXTS))
    model.pooling_method = "mean"
    assert model.encode(TEXTS).shape == (4, 32)


@pytest.mark.parametrize("format_of", [safetensors, pickled])
def test_shards(own_checkpoint, bert, format_of):
    for shard in turn_into_shards(own_checkpoint, 5):
        shard.write_bytes(format_of(read_safetensors(shard)))
    source, files = opened(own_checkpoint)
    assert source == "checkpoint"
    assert files == [f"model-{place:05}-of-00005.safetensors" for place in range(1, 6)]
    assert np.array_equal(FlagModel(str(own_checkpoint)).encode(TEXTS), bert.encode(TEXTS))


def test_shards_that_torch_saved(own_checkpoint, bert):
    shards = turn_into_shards(own_checkpoint, 2)
    for shard, name in zip(
        shards, ("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"), strict=True
    ):
        shard.write_bytes(pickled(read_safetensors(shard)))
        shard.rename(own_checkpoint / name)
    index = own_checkpoint / f"{WEIGHTS}.index.json"
    table = index.read_text().replace("model-", "pytorch_model-").replace(".safetensors", ".bin")
    (own_checkpoint / f"{PICKLED}.index.json").write_text(table)
    index.unlink()
    assert opened(own_checkpoint)[1] == ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
    assert np.array_equal(FlagModel(str(own_checkpoint)).encode(TEXTS), bert.encode(TEXTS))


def test_torch_weights_of_many_tensors_in_one_storage(own_checkpoint, bert):
    turn_into_pickled(own_checkpoint, lambda items: items.update({"tied": items["embeddings.LayerNorm.bias"]}))
    assert np.array_equal(FlagModel(str(own_checkpoint)).encode(TEXTS), bert.encode(TEXTS))


@pytest.mark.parametrize("name", ["blank and 100% #1 $HOME", "机翼-Flügel", "back\\slash'\"", "-o", "line\nbreak"])
def test_folders_of_any_name(own_checkpoint, tmp_path, bert, name):
    folder = own_checkpoint.rename(tmp_path / name)
    model = FlagModel(str(folder))
    model.pooling_method = "mean"
    assert model.encode(TEXTS).shape == (4, 32)
    model.pooling_method = "cls"
    assert np.array_equal(model.encode(TEXTS), bert.encode(TEXTS))


def test_a_name_that_is_not_utf8_is_refused(own_checkpoint, tmp_path):
    folder = own_checkpoint.rename(tmp_path / os.fsdecode(b"b\xe9ta"))
    with pytest.raises(ModelFormatError, match="is not UTF-8"):
        FlagModel(str(folder))


def test_a_relative_path_is_good_after_the_process_went_elsewhere(own_checkpoint, tmp_path, monkeypatch, bert):
    monkeypatch.chdir(own_checkpoint.parent)
    model = FlagModel("checkpoint")
    monkeypatch.chdir("/")
    assert np.array_equal(model.encode(TEXTS), bert.encode(TEXTS))


def test_closing_a_model_unmaps_its_files(own_checkpoint):
    def mapped() -> int:
        return sum(str(own_checkpoint) in line for line in Path("/proc/self/maps").read_text().splitlines())

    with FlagModel(str(own_checkpoint)) as model:
        model.encode(TEXTS)
        assert mapped()
    assert not mapped()
    assert not [link for link in Path("/proc/self/fd").iterdir() if str(own_checkpoint) in os.path.realpath(link)]


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_weights_that_are_replaced_between_two_looks_are_never_mixed(own_checkpoint, monkeypatch, kind):
    """After the file was mapped, and before ONNX Runtime reads of it what it was not handed."""
    stored = {key: one.astype(kind) for key, one in tiny_tensors().items()}
    (own_checkpoint / WEIGHTS).write_bytes(safetensors(stored))
    before = FlagModel(str(own_checkpoint)).encode(TEXTS[0])

    def late(*arguments: object, **options: object) -> _core.Model:
        (own_checkpoint / "new").write_bytes(safetensors({key: one[::-1] for key, one in stored.items()}))
        (own_checkpoint / "new").replace(own_checkpoint / WEIGHTS)
        return _core.Model(*arguments, **options)

    monkeypatch.setattr(engine, "_core", SimpleNamespace(**{**vars(_core), "Model": late}))
    try:
        model = FlagModel(str(own_checkpoint))
    except ModelFormatError:
        return
    assert np.abs(model.encode(TEXTS[0]) - before).max() <= 1e-6


def test_weights_that_are_replaced_all_the_time(own_checkpoint, bert):
    """Each opening gives the whole model or a named error; a model that opened works."""
    stop = threading.Event()

    def replace() -> None:
        while not stop.is_set():
            shutil.copy(bert.info()["files"][0], own_checkpoint / "new")
            (own_checkpoint / "new").replace(own_checkpoint / WEIGHTS)

    replacing = threading.Thread(target=replace)
    replacing.start()
    try:
        for _ in range(20):
            try:
                model = FlagModel(str(own_checkpoint))
            except (ModelFormatError, ModelNotFoundError):
                continue
            assert np.array_equal(model.encode(TEXTS[0]), bert.encode(TEXTS[0]))
    finally:
        stop.set()
        replacing.join()
