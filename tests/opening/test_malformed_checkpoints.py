"""Malformed checkpoints: index files that lead astray, and things that are no files at all."""

import json
import os
import socket
from pathlib import Path

import pytest

from bge_fast.errors import ModelFormatError, ModelNotFoundError
from tests.support.malformed import (
    PICKLED,
    WEIGHTS,
    Cases,
    read_safetensors,
    refused,
    safetensors,
    turn_into_pickled,
    turn_into_shards,
)

INDEX = f"{WEIGHTS}.index.json"
cases = Cases()


# ── index files ───────────────────────────────────────────────────────────────────────────────────────────────────────


def index_of(folder: Path, table: object) -> None:
    """Shards, with an index that says this."""
    turn_into_shards(folder)
    (folder / INDEX).write_text(json.dumps({"weight_map": table}))


@cases(ModelNotFoundError, r"model-00002-of-00003\.safetensors is missing")
def a_shard_that_is_missing(folder: Path) -> None:
    turn_into_shards(folder)[1].unlink()


@cases(ModelNotFoundError, r"model-00001-of-00003\.safetensors is a link that leads nowhere")
def a_shard_that_is_a_dangling_link(folder: Path) -> None:
    shard = turn_into_shards(folder)[0]
    shard.unlink()
    shard.symlink_to("nowhere")


for shard in (
    "../model.safetensors",
    "/etc/model.safetensors",
    "sub/model.safetensors",
    "..",
    "",
    "model.safetensors\0",
    "model.safetensors\n",
    ".hidden.safetensors",
    "-o.safetensors",
    "config.json",
    "C:\\model.safetensors",
    "x" * 5000,
):

    def a_shard_elsewhere(folder: Path, shard: str = shard) -> None:
        index_of(folder, {"embeddings.LayerNorm.bias": shard})

    a_shard_elsewhere.__name__ = f"a_shard_called_{shard[:20]!r}"
    cases(ModelFormatError, r"model\.safetensors\.index\.json lists .* not the name of a weight file beside it")(
        a_shard_elsewhere
    )

for number, table in enumerate((None, [], "model.safetensors", {"a": 1}, {"a": None}, {"a": ["model.safetensors"]})):

    def a_table_that_is_none(folder: Path, table: object = table) -> None:
        index_of(folder, table)

    a_table_that_is_none.__name__ = f"a_table_that_is_none_{number}"
    cases(ModelFormatError, r"model\.safetensors\.index\.json: weight_map is not a table of file names")(
        a_table_that_is_none
    )


@cases(ModelFormatError, r"model\.safetensors\.index\.json lists 0 weight files")
def an_empty_index(folder: Path) -> None:
    index_of(folder, {})


@cases(ModelFormatError, r"model\.safetensors\.index\.json lists 5000 weight files; expected 1 to 1000")
def an_index_of_5000_shards(folder: Path) -> None:
    index_of(folder, {str(place): f"model-{place}.safetensors" for place in range(5000)})


@cases(ModelFormatError, r"model\.safetensors\.index\.json cannot be read")
def an_index_that_is_not_json(folder: Path) -> None:
    turn_into_shards(folder)
    (folder / INDEX).write_text("{")


@cases(
    ModelFormatError, r"the tensor .* is in model-00001-of-00003\.safetensors and in model-00002-of-00003\.safetensors"
)
def one_tensor_in_two_shards(folder: Path) -> None:
    first, second, _ = turn_into_shards(folder)
    second.write_bytes(safetensors({**read_safetensors(first), **read_safetensors(second)}))


@cases(ModelFormatError, r"^model-00002-of-00003\.safetensors is empty")
def a_shard_without_bytes(folder: Path) -> None:
    turn_into_shards(folder)[1].write_bytes(b"")


@cases(ModelFormatError, r"^model-00001-of-00003\.safetensors.* are without the tensor .*there are \d+ tensors")
def shards_that_lack_a_tensor(folder: Path) -> None:
    shard = turn_into_shards(folder)[2]
    tensors = read_safetensors(shard)
    tensors.popitem()
    shard.write_bytes(safetensors(tensors))


# ── what is no file ───────────────────────────────────────────────────────────────────────────────────────────────────


def instead(folder: Path, name: str = WEIGHTS) -> Path:
    (folder / name).unlink()
    return folder / name


@cases(ModelNotFoundError, r"model\.safetensors is a link that leads nowhere .*Download or copy the checkpoint again")
def a_dangling_link(folder: Path) -> None:
    instead(folder).symlink_to("../blobs/gone")


@cases(ModelNotFoundError, r"model\.safetensors is a link that leads nowhere")
def a_loop_of_links(folder: Path) -> None:
    (folder / "other").symlink_to(WEIGHTS)
    instead(folder).symlink_to("other")


@cases(ModelNotFoundError, r"model\.safetensors is a link that leads nowhere")
def a_link_to_itself(folder: Path) -> None:
    instead(folder).symlink_to(WEIGHTS)


@cases(ModelNotFoundError, r"model\.safetensors is a link that leads nowhere")
def a_link_through_a_file(folder: Path) -> None:
    instead(folder).symlink_to("config.json/model.safetensors")


@cases(ModelFormatError, r"model\.safetensors is a directory, and weights must be in a regular file")
def a_directory(folder: Path) -> None:
    instead(folder).mkdir()


@cases(ModelFormatError, r" is a directory, and weights must be in a regular file")
def a_link_to_a_directory(folder: Path) -> None:
    instead(folder).symlink_to("/proc")


@cases(ModelFormatError, r"model\.safetensors is a FIFO, and weights must be in a regular file")
def a_fifo(folder: Path) -> None:
    os.mkfifo(instead(folder))


@cases(ModelFormatError, r"fifo is a FIFO|model\.safetensors is a FIFO")
def a_link_to_a_fifo(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    instead(folder).symlink_to("fifo")


@cases(ModelFormatError, r"model\.safetensors is a socket")
def a_socket(folder: Path) -> None:
    here = Path.cwd()
    os.chdir(folder)  # A socket's path may have 107 bytes.
    try:
        instead(Path())
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(WEIGHTS)
    finally:
        os.chdir(here)


for device in ("null", "zero", "full", "tty"):

    def a_device(folder: Path, device: str = device) -> None:
        instead(folder).symlink_to(f"/dev/{device}")

    a_device.__name__ = f"a_link_to_dev_{device}"
    cases(ModelFormatError, rf"(model\.safetensors|/dev/{device}) is a device")(a_device)


@cases(ModelFormatError, r"model\.safetensors")
def a_file_that_grows_while_it_is_read(folder: Path) -> None:
    instead(folder).symlink_to("/proc/self/maps")


@cases(ModelFormatError, r"pytorch_model\.bin is a directory")
def a_directory_of_torch(folder: Path) -> None:
    turn_into_pickled(folder)
    instead(folder, PICKLED).mkdir()


@cases(ModelFormatError, r"model-00003-of-00003\.safetensors is a FIFO")
def a_shard_that_is_a_fifo(folder: Path) -> None:
    shard = turn_into_shards(folder)[2]
    os.mkfifo(instead(folder, shard.name))


@cases(ModelNotFoundError, r"has no config\.json")
def a_config_that_is_a_fifo(folder: Path) -> None:
    os.mkfifo(instead(folder, "config.json"))


@cases(ModelNotFoundError, r"has no config\.json")
def a_config_that_is_dev_zero(folder: Path) -> None:
    instead(folder, "config.json").symlink_to("/dev/zero")


@cases(ModelNotFoundError, r"has no tokenizer\.json")
def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").unlink()


@cases(ModelNotFoundError, r"tokenizer\.json is a link that leads nowhere")
def a_tokenizer_that_is_a_link_to_nothing(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to(folder / "gone.json")


for file in ("tokenizer.json", "tokenizer_config.json"):
    for kind in ("fifo", "zero", "directory"):

        def no_file(folder: Path, file: str = file, kind: str = kind) -> None:
            path = instead(folder, file)
            {"fifo": os.mkfifo, "directory": os.mkdir, "zero": lambda path: path.symlink_to("/dev/zero")}[kind](path)

        no_file.__name__ = f"{file.replace('.', '_')}_that_is_a_{kind}"
        cases(ModelFormatError, rf"{file.replace('.', '.')} is not a file of at most 64 MB")(no_file)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("spoil", "error", "said"), cases)
def test_malformed_checkpoints_are_refused(own_checkpoint, spoil, error, said):
    spoil(own_checkpoint)
    refused(own_checkpoint, error, said)


@pytest.mark.skipif(os.getuid() == 0, reason="root reads every file")
@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", WEIGHTS])
def test_files_that_may_not_be_read_are_named(own_checkpoint, file):
    (own_checkpoint / file).chmod(0)
    refused(own_checkpoint, ModelFormatError, rf"{file} cannot be read.*ermission denied")
