"""The table of functions that ONNX Runtime's library hands out: one entry of it, made writable for a script that watches."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

_API_VERSION = 17
_READ_WRITE = 1 | 2


def place_in_table(library: Path, index: int) -> ctypes.c_void_p:
    """The entry of the function with this number, in the copy that is loaded."""
    get_base = ctypes.CDLL(str(library)).OrtGetApiBase
    get_base.restype = ctypes.POINTER(ctypes.c_void_p)
    get_table = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)(get_base()[0])
    address = get_table(_API_VERSION) + index * ctypes.sizeof(ctypes.c_void_p)
    page = address - address % mmap.PAGESIZE
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(mmap.PAGESIZE), _READ_WRITE):
        raise OSError(ctypes.get_errno(), "the library's table cannot be made writable")
    return ctypes.c_void_p.from_address(address)
