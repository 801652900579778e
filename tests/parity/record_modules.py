"""The modules of FlagEmbedding for inference, and the names that each offers, as `record.py` stores them."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

# Models in the form of transformers, which are no part of the interface.
_LEFT_OUT = "FlagEmbedding.inference.reranker.decoder_only.models"


def modules() -> dict[str, list[str]]:
    """Read from the sources: nothing of them is imported."""
    spec = find_spec("FlagEmbedding")
    assert spec is not None
    assert spec.submodule_search_locations
    root = Path(spec.submodule_search_locations[0])
    files = [root / "__init__.py", root / "abc" / "__init__.py"]
    files += [file for place in ("abc/inference", "inference") for file in sorted((root / place).rglob("*.py"))]
    names = {".".join(("FlagEmbedding", *file.relative_to(root).with_suffix("").parts)): file for file in files}
    return {
        name.removesuffix(".__init__"): offered(file) for name, file in names.items() if not name.startswith(_LEFT_OUT)
    }


def offered(file: Path) -> list[str]:
    """What ``__all__`` lists; without one, the file's own classes, functions and constants."""
    found = []
    for node in ast.parse(file.read_text()).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=listed):
                return list(ast.literal_eval(listed))
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                found.append(name)
            case ast.Assign(targets=[ast.Name(id=name)]) if name.isupper():
                found.append(name)
    return [name for name in found if not name.startswith("_")]
