"""Malformed `model.safetensors`: headers, offsets, types, shapes. Each is refused by name."""

import json
from pathlib import Path

import numpy as np
import pytest

from bge_fast.errors import ModelFormatError
from tests.support.malformed import (
    QUERY,
    WEIGHTS,
    Cases,
    change_header,
    header_of,
    joined,
    refused,
    split,
    tiny_tensors,
)

UNSOUND = r"^model\.safetensors is not a sound safetensors file: "
AGAIN = r".*Download it or save it again$"
cases = Cases()


def write(folder: Path, raw: bytes) -> None:
    (folder / WEIGHTS).write_bytes(raw)


def header_text(folder: Path) -> tuple[str, bytes]:
    header, data = split((folder / WEIGHTS).read_bytes())
    return json.dumps(header), data


# ── the file and its header ───────────────────────────────────────────────────────────────────────────────────────────


@cases(ModelFormatError, r"^model\.safetensors is empty" + AGAIN)
def no_bytes(folder: Path) -> None:
    write(folder, b"")


@cases(ModelFormatError, r"^model\.safetensors is neither a safetensors file nor one of torch's" + AGAIN)
def three_bytes(folder: Path) -> None:
    write(folder, b"\x07\0\0")


@cases(ModelFormatError, r"^model\.safetensors is neither a safetensors file nor one of torch's" + AGAIN)
def half_a_length(folder: Path) -> None:
    write(folder, (folder / WEIGHTS).read_bytes()[:5])


@cases(ModelFormatError, r"^model\.safetensors is neither a safetensors file" + AGAIN)
def random_bytes(folder: Path) -> None:
    write(folder, np.random.default_rng(0).bytes(5000))


@cases(ModelFormatError, r"^model\.safetensors is a git-lfs pointer.*git lfs pull")
def git_lfs_pointer(folder: Path) -> None:
    write(folder, b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 133466304\n")


@cases(ModelFormatError, r"^model\.safetensors is a web page")
def web_page(folder: Path) -> None:
    write(folder, b"\n<!DOCTYPE html><html><body>404 Not Found</body></html>")


@cases(ModelFormatError, UNSOUND)
def header_of_length_zero(folder: Path) -> None:
    write(folder, joined("{}", b"", length=0))


@cases(ModelFormatError, UNSOUND + ".*cut off")
def header_that_passes_the_end(folder: Path) -> None:
    write(folder, joined(*header_text(folder), length=10_000_000))


@cases(ModelFormatError, r"^model\.safetensors .*safetensors")
def header_of_2_to_the_63(folder: Path) -> None:
    write(folder, joined(*header_text(folder), length=2**63))


@cases(ModelFormatError, r"^model\.safetensors .*safetensors")
def header_of_the_largest_length(folder: Path) -> None:
    write(folder, joined(*header_text(folder), length=2**64 - 1))


@cases(ModelFormatError, UNSOUND + "its header of .* bytes is longer than")
def header_of_20_mb(folder: Path) -> None:
    write(folder, joined('{"' + "a" * (20 << 20) + '":0}', b""))


@cases(ModelFormatError, UNSOUND)
def header_that_is_not_json(folder: Path) -> None:
    write(folder, joined("{not json at all}", b""))


@cases(ModelFormatError, r"^model\.safetensors .*safetensors")
def header_that_is_an_array(folder: Path) -> None:
    write(folder, joined("[1, 2]", b""))


@cases(ModelFormatError, UNSOUND)
def header_that_is_not_utf8(folder: Path) -> None:
    raw = b'{"\xff\xfe": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}'
    write(folder, len(raw).to_bytes(8, "little") + raw + b"\0" * 4)


@cases(ModelFormatError, UNSOUND + ".*recursion")
def header_of_100_000_levels(folder: Path) -> None:
    write(folder, joined('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", b""))


@cases(ModelFormatError, UNSOUND + "embeddings.* is there twice")
def a_name_that_is_there_twice(folder: Path) -> None:
    header, data = header_text(folder)
    first = '"embeddings.LayerNorm.bias": {"dtype": "F32", "shape": [32], "data_offsets": [0, 128]}'
    write(folder, joined(header[:-1] + ", " + first + "}", data))


@cases(ModelFormatError, UNSOUND + ".*more than 100000 tensors")
def header_of_200_000_tensors(folder: Path) -> None:
    facts = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    write(folder, joined("{" + ",".join(f'"{place}":{facts}' for place in range(200_000)) + "}", b""))


@cases(ModelFormatError, UNSOUND + ".*missing field `dtype`")
def tensor_without_a_type(folder: Path) -> None:
    change_header(folder, QUERY, dtype=None)


@cases(ModelFormatError, UNSOUND + ".*missing field `shape`")
def tensor_without_a_shape(folder: Path) -> None:
    change_header(folder, QUERY, shape=None)


@cases(ModelFormatError, UNSOUND + ".*missing field `data_offsets`")
def tensor_without_offsets(folder: Path) -> None:
    change_header(folder, QUERY, data_offsets=None)


@cases(ModelFormatError, UNSOUND + ".*F33")
def tensor_of_a_type_that_is_none(folder: Path) -> None:
    change_header(folder, QUERY, dtype="F33")


@cases(ModelFormatError, UNSOUND)
def tensor_that_is_a_number(folder: Path) -> None:
    header, data = split((folder / WEIGHTS).read_bytes())
    write(folder, joined({**header, QUERY: 7}, data))


@cases(ModelFormatError, UNSOUND + ".*-32")
def negative_shape(folder: Path) -> None:
    change_header(folder, QUERY, shape=[-32, -32])


@cases(ModelFormatError, UNSOUND + ".*[oO]verflow")
def shape_whose_product_overflows(folder: Path) -> None:
    change_header(folder, QUERY, shape=[2**62 + 1, 4])


@cases(ModelFormatError, UNSOUND)
def shape_of_more_bytes_than_there_are(folder: Path) -> None:
    change_header(folder, QUERY, shape=[32, 33])


@cases(ModelFormatError, UNSOUND)
def shape_of_fractions(folder: Path) -> None:
    change_header(folder, QUERY, shape=[32.5, 32])


@cases(ModelFormatError, r"^model\.safetensors refused: its tensor .*query\.weight has 40 dimensions")
def shape_of_40_dimensions(folder: Path) -> None:
    change_header(folder, QUERY, shape=[32, 32] + [1] * 38)


# ── offsets ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def move(folder: Path, name: str, start: int, end: int) -> None:
    offsets = split((folder / WEIGHTS).read_bytes())[0][name]["data_offsets"]
    change_header(folder, name, data_offsets=[offsets[0] + start, offsets[1] + end])


@cases(ModelFormatError, UNSOUND + ".*offset")
def offsets_that_overlap(folder: Path) -> None:
    move(folder, QUERY, -128, -128)


@cases(ModelFormatError, UNSOUND + ".*offset")
def offsets_of_another_tensor(folder: Path) -> None:
    header = split((folder / WEIGHTS).read_bytes())[0]
    change_header(folder, QUERY, data_offsets=header[QUERY.replace("query", "key")]["data_offsets"])


@cases(ModelFormatError, UNSOUND + ".*offset")
def offsets_with_a_hole(folder: Path) -> None:
    move(folder, QUERY, 128, 128)


@cases(ModelFormatError, UNSOUND)
def offsets_beyond_the_file(folder: Path) -> None:
    move(folder, list(header_of(tiny_tensors())[0])[-1], 0, 10**9)


@cases(ModelFormatError, UNSOUND)
def offsets_at_the_end_of_all_numbers(folder: Path) -> None:
    change_header(folder, QUERY, data_offsets=[2**64 - 4097, 2**64 - 1])


@cases(ModelFormatError, UNSOUND)
def offsets_that_are_reversed(folder: Path) -> None:
    start, end = split((folder / WEIGHTS).read_bytes())[0][QUERY]["data_offsets"]
    change_header(folder, QUERY, data_offsets=[end, start])


@cases(ModelFormatError, UNSOUND)
def offsets_that_are_negative(folder: Path) -> None:
    change_header(folder, QUERY, data_offsets=[-4096, 0])


@cases(ModelFormatError, UNSOUND)
def three_offsets(folder: Path) -> None:
    change_header(folder, QUERY, data_offsets=[0, 4096, 8192])


@cases(ModelFormatError, UNSOUND + r"its header tells of \d+ bytes of tensors and it has \d+" + AGAIN)
def data_that_is_cut_off(folder: Path) -> None:
    write(folder, (folder / WEIGHTS).read_bytes()[:-1000])


@cases(ModelFormatError, UNSOUND + r"its header tells of \d+ bytes of tensors and it has \d+")
def data_with_something_behind_it(folder: Path) -> None:
    write(folder, (folder / WEIGHTS).read_bytes() + b"more")


@cases(ModelFormatError, UNSOUND)
def data_that_is_missing(folder: Path) -> None:
    write(folder, joined(split((folder / WEIGHTS).read_bytes())[0], b""))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("spoil", "error", "said"), cases)
def test_malformed_safetensors_are_refused(own_checkpoint, spoil, error, said):
    spoil(own_checkpoint)
    refused(own_checkpoint, error, said)
