"""Malformed `pytorch_model.bin`: tensors that lie outside their storages, archives that lie."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_fast import FlagModel
from bge_fast.errors import ModelFormatError
from tests.support.malformed import (
    PICKLED,
    QUERY,
    WEIGHTS,
    Cases,
    archive,
    parts_of,
    pickled,
    rebuilt,
    refused,
    state_dict,
    text,
    tiny_tensors,
    turn_into_pickled,
    write_pickled,
)

REFUSED = r"^pytorch_model\.bin refused: "
cases = Cases()


def put_query(folder: Path, shape: Any = (32, 32), **changes: Any) -> None:
    """One tensor is rebuilt in another way."""
    key = str(list(tiny_tensors()).index(QUERY))
    turn_into_pickled(folder, lambda items: items.update({QUERY: rebuilt(key, shape, **changes)}))


# ── tensors and storages ──────────────────────────────────────────────────────────────────────────────────────────────

TENSOR = REFUSED + rf"its tensor {QUERY}: "


@cases(ModelFormatError, TENSOR + "there is no data/999 in its archive")
def a_storage_that_is_not_there(folder: Path) -> None:
    turn_into_pickled(folder, lambda items: items.update({QUERY: rebuilt("999", (32, 32))}))


@cases(ModelFormatError, TENSOR + r"there is no data/\.\./byteorder in its archive")
def a_storage_elsewhere(folder: Path) -> None:
    turn_into_pickled(folder, lambda items: items.update({QUERY: rebuilt("../byteorder", (1,), kind="Byte")}))


@cases(ModelFormatError, TENSOR + "its storage is shorter than the pickle says")
def a_storage_that_claims_more(folder: Path) -> None:
    put_query(folder, count=2000)


@cases(ModelFormatError, TENSOR + "its storage is shorter than the pickle says")
def a_storage_of_all_numbers(folder: Path) -> None:
    put_query(folder, count=2**63 - 1)


@cases(ModelFormatError, TENSOR + "it passes the end of its storage")
def an_offset_beyond_the_storage(folder: Path) -> None:
    put_query(folder, offset=1)


@cases(ModelFormatError, TENSOR + "it passes the end of its storage")
def a_shape_beyond_the_storage(folder: Path) -> None:
    put_query(folder, (33, 32), count=1024)


@cases(ModelFormatError, TENSOR + "no file can hold its shape")
def a_shape_that_overflows(folder: Path) -> None:
    put_query(folder, (2**62, 4), count=1024, strides=(4, 1))


@cases(ModelFormatError, REFUSED + ".*negative")
def a_negative_offset(folder: Path) -> None:
    put_query(folder, offset=-1)


@cases(ModelFormatError, REFUSED + ".*negative")
def a_negative_size(folder: Path) -> None:
    put_query(folder, (-32, -32), count=1024, strides=(32, 1))


@cases(ModelFormatError, REFUSED + ".*negative")
def a_storage_of_negative_size(folder: Path) -> None:
    put_query(folder, count=-1)


@cases(ModelFormatError, REFUSED + ".*40 dimensions")
def forty_dimensions(folder: Path) -> None:
    put_query(folder, (32, 32) + (1,) * 38)


@cases(ModelFormatError, REFUSED + ".*differ in length")
def fewer_strides_than_sizes(folder: Path) -> None:
    put_query(folder, strides=(1,))


@cases(ModelFormatError, TENSOR + "it passes the end of its storage")
def columns_beyond_the_end(folder: Path) -> None:
    put_query(folder, strides=(1, 33))


@cases(ModelFormatError, rf"^pytorch_model\.bin: the tensor {QUERY} is of type int64; weights are float32")
def weights_that_are_whole_numbers(folder: Path) -> None:
    tensors = tiny_tensors()
    write_pickled(folder, pickled({**tensors, QUERY: tensors[QUERY].astype(np.int64)}))


@cases(ModelFormatError, rf"{QUERY} has the shape \[1024\] where \[32, 32\]")
def weights_of_another_shape(folder: Path) -> None:
    put_query(folder, (1024,))


@cases(ModelFormatError, rf"^pytorch_model\.bin is without the tensor {QUERY}")
def a_weight_that_is_missing(folder: Path) -> None:
    turn_into_pickled(folder, lambda items: items.pop(QUERY))


@cases(ModelFormatError, rf"the tensor {QUERY} is in pytorch_model\.bin and in pytorch_model\.bin|{QUERY}.*twice")
def a_weight_that_is_there_twice(folder: Path) -> None:
    items, storages = parts_of(tiny_tensors())
    twice = state_dict(items)[:-2] + text(QUERY) + rebuilt("0", (32,)) + b"u."
    write_pickled(folder, archive(twice, storages))


# ── archives ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def torch_file() -> bytes:
    return pickled(tiny_tensors())


@cases(ModelFormatError, r"^pytorch_model\.bin is neither a safetensors file nor one of torch's")
def not_an_archive(folder: Path) -> None:
    write_pickled(folder, b"not a zip" * 100)


@cases(ModelFormatError, r"^pytorch_model\.bin is empty")
def no_bytes(folder: Path) -> None:
    write_pickled(folder, b"")


@cases(ModelFormatError, r"^pytorch_model\.bin is a git-lfs pointer.*git lfs pull")
def git_lfs_pointer(folder: Path) -> None:
    write_pickled(folder, b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 133466304\n")


@cases(ModelFormatError, r"^pytorch_model\.bin is a web page")
def web_page(folder: Path) -> None:
    write_pickled(folder, b"<html><body>Access denied</body></html>")


@cases(ModelFormatError, REFUSED + r"its dictionary \(\) holds no tensors")
def no_tensors_in_the_format_of_before_torch_1_6(folder: Path) -> None:
    magic, protocol = 0x1950A86A20F9469CFC6C, 1001
    write_pickled(folder, b"".join(pickle.dumps(part, 2) for part in (magic, protocol, {"little_endian": True}, {})))


@cases(ModelFormatError, REFUSED + "it is a zip archive that is cut off or damaged.*Download it")
def an_archive_without_its_directory(folder: Path) -> None:
    write_pickled(folder, torch_file()[:-3000])


@cases(ModelFormatError, REFUSED + "it is a zip archive that is cut off or damaged")
def an_archive_without_its_start(folder: Path) -> None:
    write_pickled(folder, b"PK\x03\x04" + torch_file()[5000:])


@cases(ModelFormatError, REFUSED + "its archive is compressed.*torch.save")
def a_compressed_archive(folder: Path) -> None:
    write_pickled(folder, archive(*_parts(), zipfile.ZIP_DEFLATED))


def _parts() -> tuple[bytes, dict[str, bytes]]:
    items, storages = parts_of(tiny_tensors())
    return state_dict(items), storages


@cases(ModelFormatError, REFUSED + "its numbers are not little-endian")
def a_file_of_a_big_endian_machine(folder: Path) -> None:
    turn_into_pickled(folder, byteorder=b"big")


@cases(ModelFormatError, REFUSED + "it is a zip archive with 0 data.pkl, so torch.save did not write it")
def an_archive_without_a_pickle(folder: Path) -> None:
    with zipfile.ZipFile(folder / PICKLED, "w") as target:
        target.writestr("weights.txt", "1 2 3")
    (folder / WEIGHTS).unlink()


@cases(ModelFormatError, REFUSED + "it is a zip archive with 2 data.pkl")
def an_archive_with_two_pickles(folder: Path) -> None:
    turn_into_pickled(folder)
    with zipfile.ZipFile(folder / PICKLED, "a") as target:
        target.writestr("other/data.pkl", pickle.dumps({}, 2))


@cases(ModelFormatError, REFUSED)
def an_archive_with_one_name_twice(folder: Path) -> None:
    turn_into_pickled(folder)
    with zipfile.ZipFile(folder / PICKLED, "a") as target, pytest.warns(UserWarning, match="Duplicate"):
        target.writestr("archive/data/0", b"\0" * 4)


def change_directory(folder: Path, entry: str, place: int, raw: bytes) -> None:
    """Write over a field of the directory's record about `entry`, `place` bytes from its start."""
    whole = bytearray(torch_file())
    start = whole.rindex(b"archive/" + entry.encode()) - 46
    assert whole[start : start + 4] == b"PK\x01\x02"
    whole[start + place : start + place + len(raw)] = raw
    write_pickled(folder, bytes(whole))


@cases(ModelFormatError, REFUSED)
def a_directory_that_lies_about_a_size(folder: Path) -> None:
    change_directory(folder, "data/7", 20, b"\xff\xff\xff\x7f" * 2)


@cases(ModelFormatError, REFUSED)
def a_directory_that_lies_about_one_of_two_sizes(folder: Path) -> None:
    change_directory(folder, "data/7", 24, b"\x04\0\0\0")


@cases(ModelFormatError, REFUSED)
def a_directory_that_lies_about_a_place(folder: Path) -> None:
    change_directory(folder, "data/7", 42, b"\xff\xff\xff\x7f")


@cases(ModelFormatError, REFUSED)
def a_directory_that_points_into_a_tensor(folder: Path) -> None:
    change_directory(folder, "data/7", 42, b"\x99\x01\0\0")


@cases(ModelFormatError, REFUSED)
def a_file_that_claims_to_be_encrypted(folder: Path) -> None:
    change_directory(folder, "data/7", 8, b"\x01\x00")


@cases(ModelFormatError, REFUSED)
def an_unknown_compression(folder: Path) -> None:
    change_directory(folder, "data/7", 10, b"\x63\x00")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("spoil", "error", "said"), cases)
def test_malformed_torch_files_are_refused(own_checkpoint, spoil, error, said):
    spoil(own_checkpoint)
    refused(own_checkpoint, error, said)


def test_a_sound_file_opens(own_checkpoint, bert):
    turn_into_pickled(own_checkpoint)
    assert np.array_equal(FlagModel(str(own_checkpoint)).encode("a wing"), bert.encode("a wing"))
