"""The bill of materials of what maturin does not see: ONNX Runtime. It writes that of the crates itself."""

import hashlib
import json
from pathlib import Path
from typing import Any


def write_sbom(library: Path, version: str, target: Path) -> None:
    """Describe the bundled library as a CycloneDX document."""
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"pkg:pypi/onnxruntime@{version}",
        "purl": f"pkg:pypi/onnxruntime@{version}",
        "name": "onnxruntime",
        "version": version,
        "supplier": {"name": "Microsoft Corporation"},
        "description": f"its CPU library, in bge_fast/_ort/{library.name}, with another file name and soname",
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(library.read_bytes()).hexdigest()}],
        "licenses": [{"license": {"id": "MIT"}}],
    }
    document = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": [component]}
    target.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
