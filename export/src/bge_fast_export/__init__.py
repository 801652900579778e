"""Turns a BGE checkpoint into the model folder that `bge_fast` opens."""

from bge_fast_export.errors import ExportError

__version__ = "0.1.0"

__all__ = ["ExportError", "__version__"]
