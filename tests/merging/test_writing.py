"""Files as their formats' own libraries read them."""

import numpy as np

from bge_fast.merging.tensors import list_tensors
from bge_fast.merging.writing import NewTensor, SafetensorsFile, write_torch
from tests.support.malformed import split


def test_tensors_are_aligned_whatever_their_types(tmp_path):
    file = tmp_path / "x.safetensors"
    tensors = [
        NewTensor("a", "BOOL", (3,)),
        NewTensor("ü", "F16", (5,)),
        NewTensor("b", "F64", (1,)),
        NewTensor("c", "F32", ()),
    ]
    with SafetensorsFile(file, tensors) as written:
        written.write("ü", [np.arange(2, dtype=np.float16), np.arange(2, 5, dtype=np.float16)])
        written.write("b", [np.array([0.1])])
        written.write("c", [np.float32([7])])
        written.write("a", [np.array([True, False, True])])
    header, data = split(file.read_bytes())
    assert header.pop("__metadata__") == {"format": "pt"}
    assert (len(file.read_bytes()) - len(data)) % 8 == 0
    sizes = {"F64": 8, "F32": 4, "F16": 2, "BOOL": 1}
    assert all(facts["data_offsets"][0] % sizes[facts["dtype"]] == 0 for facts in header.values())
    found = {one.name: np.concatenate([*one.blocks()]).tolist() for one in list_tensors([file])[0]}
    assert found == {"a": [True, False, True], "ü": [0, 1, 2, 3, 4], "b": [0.1], "c": [7]}


def test_a_file_of_torch_is_read_again(tmp_path):
    file = tmp_path / "x.pt"
    weight, bias = np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(2, dtype=np.float16)
    write_torch(file, {NewTensor("weight", "F32", (2, 3)): weight, NewTensor("bias", "F16", (2,)): bias})
    (tensors,) = list_tensors([file])
    assert {one.name: (one.kind, one.shape) for one in tensors} == {"weight": ("F32", (2, 3)), "bias": ("F16", (2,))}
    assert {one.name: next(one.blocks()).tolist() for one in tensors} == {"weight": [*range(6)], "bias": [0, 1]}
