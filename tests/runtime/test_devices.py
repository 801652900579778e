"""Devices: what may be asked for, and what happens when it cannot be had. Runs without a GPU."""

import struct
from pathlib import Path

import pytest

from bge_fast import FlagModel
from bge_fast.errors import DeviceError
from bge_fast.runtime import cuda, devices
from bge_fast.runtime.devices import Device, parse_devices


@pytest.mark.parametrize(
    ("asked", "device"),
    [
        (None, None),
        ("cpu", Device()),
        ("cpu:0", Device()),
        ("cuda", Device((0,))),
        ("cuda:0", Device((0,))),
        ("cuda:3", Device((3,))),
        (0, Device((0,))),
        (2, Device((2,))),
        (["cuda:1"], Device((1,))),
        ([0], Device((0,))),
        (("cpu",), Device()),
        (["cpu", "cpu"], Device()),
        (["cuda:1", 0, "cuda:1"], Device((1, 0))),
        ("all", Device(every=True)),
    ],
)
def test_accepted_forms(asked, device):
    assert parse_devices(asked) == device
    assert parse_devices(None, asked) == device


def test_all_are_those_that_the_driver_shows_when_a_model_opens(monkeypatch):
    every = parse_devices("all")
    for shown, indices in ((3, (0, 1, 2)), (1, (0,)), (0, (0,)), (None, (0,))):
        monkeypatch.setattr(devices, "device_count", lambda shown=shown: shown)
        assert every.counted() == Device(indices)
    assert every.is_cuda
    assert Device((1, 0)).counted().names == ["cuda:1", "cuda:0"]
    assert (str(Device((1, 0))), str(Device()), str(every)) == ("cuda:1, cuda:0", "cpu", "all")


@pytest.mark.parametrize("asked", ["gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:99999", -1, True, 1.0, {}, object(), ""])
def test_anything_else_is_refused_with_the_accepted_forms(asked):
    with pytest.raises(ValueError, match="cuda:0"):
        parse_devices(asked)


@pytest.mark.parametrize("asked", ["cuda", "cuda:0", 0, "cuda:7", "all", [0, 1]])
def test_cuda_that_cannot_be_had_is_an_error_never_the_cpu(tiny_bert, asked):
    with pytest.raises(DeviceError, match=r'no CUDA provider.*pip install "bge-fast\[gpu\]".*bge-fast doctor'):
        FlagModel(str(tiny_bert), devices=asked)
    with pytest.raises(RuntimeError):
        FlagModel(str(tiny_bert), device=asked)


def linked_file(path: Path, *names: str) -> Path:
    """An ELF file of nothing but a dynamic string table with these names."""
    strings = b"\0" + b"\0".join(name.encode() for name in names) + b"\0"
    header = bytearray(64)
    header[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<Q", header, 40, 64)
    struct.pack_into("<HH", header, 58, 64, 2)
    debug_strings = struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, 64 + 128, len(strings), 0, 0, 1, 0)
    dynamic_strings = struct.pack("<IIQQQQIIQQ", 0, 3, 2, 0, 64 + 128, len(strings), 0, 0, 1, 0)
    path.write_bytes(bytes(header) + debug_strings + dynamic_strings + strings)
    return path


def test_missing_cuda_libraries_are_named_with_their_packages(tmp_path, monkeypatch):
    names = ("libcublasLt.so.99", "libcublas.so.99", "libcurand.so.10", "libcudart.so.99", "libc.so.6")
    provider = linked_file(tmp_path / cuda.PROVIDER, *names)
    monkeypatch.setattr(cuda, "installed_libraries", lambda: {"libcurand.so.10": tmp_path})
    assert cuda.needed_libraries(provider) == [
        "libcudart.so.99",
        "libcublasLt.so.99",
        "libcublas.so.99",
        "libcurand.so.10",
    ]
    assert cuda.missing_libraries(provider) == ["libcudart.so.99", "libcublasLt.so.99", "libcublas.so.99"]
    reason = cuda.problem(provider, 0)
    assert "libcublasLt.so.99" in reason
    assert 'pip install "bge-fast[gpu]"' in reason
    assert "nvidia-cublas" in reason
    assert "nvidia-cuda-runtime" in reason


@pytest.mark.parametrize(
    ("count", "index", "said"),
    [
        (None, 0, "no NVIDIA driver"),
        (0, 0, "CUDA_VISIBLE_DEVICES"),
        (2, 2, "no CUDA device 2; the driver shows 2"),
        (2, 1, None),
    ],
)
def test_driver_and_index(tmp_path, monkeypatch, count, index, said):
    provider = linked_file(tmp_path / cuda.PROVIDER, "libc.so.6")
    monkeypatch.setattr(cuda, "device_count", lambda: count)
    reason = cuda.problem(provider, index)
    assert reason is None if said is None else said in reason


@pytest.mark.parametrize(
    ("library", "package"),
    [
        ("libcudart.so.13", "nvidia-cuda-runtime"),
        ("libcublasLt.so.13", "nvidia-cublas"),
        ("libcublas.so.12", "nvidia-cublas-cu12"),
        ("libnvrtc.so.13", "nvidia-cuda-nvrtc"),
        ("libcurand.so.10", "nvidia-curand"),
        ("libcufft.so.12", "nvidia-cufft"),
        ("libcufft.so.11", "nvidia-cufft-cu12"),
        ("libcudnn.so.9", "nvidia-cudnn-cu13"),
    ],
)
def test_packages_of_libraries(library, package):
    assert cuda.pip_package(library) == package


def test_a_file_that_is_no_elf_needs_nothing(tmp_path):
    path = tmp_path / "text"
    path.write_text("no library at all, but long enough to hold a header of sixty-four bytes")
    assert cuda.needed_libraries(path) == []
