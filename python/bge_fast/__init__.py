"""Drop-in for FlagEmbedding's inference API: BGE models on ONNX Runtime, with a Rust core and without torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bge_fast.embedder import AbsEmbedder, FlagModel
    from bge_fast.errors import (
        BGEFastError,
        DeviceError,
        ForkedProcessError,
        InternalError,
        ModelFormatError,
        ModelNotFoundError,
        NumericsError,
        RuntimeNotFoundError,
        UnsafeModelError,
        UnsupportedModelError,
    )

__version__ = "0.1.0"

__all__ = [
    "AbsEmbedder",
    "BGEFastError",
    "DeviceError",
    "FlagModel",
    "ForkedProcessError",
    "InternalError",
    "ModelFormatError",
    "ModelNotFoundError",
    "NumericsError",
    "RuntimeNotFoundError",
    "UnsafeModelError",
    "UnsupportedModelError",
    "__version__",
]

_ROOMS = {"AbsEmbedder": "embedder", "FlagModel": "embedder"} | {
    name: "errors" for name in __all__ if name.endswith("Error")
}


# At first use, so that the command line starts without numpy and `doctor` also runs where the core does not load.
def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'bge_fast' has no attribute {name!r}")
    return getattr(import_module(f"bge_fast.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
