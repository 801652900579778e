"""Checks of an installed wheel, run in an environment that has nothing but it."""

import importlib.metadata
import importlib.util
import json
import platform
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import bge_fast

ROOT = Path(__file__).resolve().parents[2]
MODEL = next(ROOT.glob("tests/*/tiny-bert"))
LICENSES = ("LICENSE", "THIRD-PARTY-NOTICES", "RUST-CRATES.txt", "ONNXRUNTIME-LICENSE.txt")


def check_contents() -> None:
    package = Path(bge_fast.__file__).parent
    assert "site-packages" in package.parts, package
    distribution = importlib.metadata.distribution("bge-fast")
    files = {str(file) for file in distribution.files or []}
    for name in ("py.typed", "_core.pyi", "_ort/libonnxruntime_bge_fast.so"):
        assert f"bge_fast/{name}" in files, name
    for name in (*LICENSES, "ONNXRUNTIME-ThirdPartyNotices.txt"):
        assert sum(file.endswith(name) for file in files) == 1, name
    assert distribution.version == bge_fast.__version__
    assert bge_fast.__version__ == tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    needed = [line for line in distribution.requires or [] if "extra ==" not in line]
    assert {line.split(">")[0] for line in needed} == {"numpy", "huggingface-hub", "tqdm"}, needed
    assert any(line.startswith("onnxruntime-gpu[cuda,cudnn]") for line in distribution.requires or [])
    assert f"cp311-abi3-manylinux_2_28_{platform.machine()}" in (distribution.read_text("WHEEL") or "")


def check_metadata() -> None:
    """What a package index shows, and what licence and security scanners read."""
    distribution = importlib.metadata.distribution("bge-fast")
    text = distribution.metadata["Description"] or distribution.metadata.get_payload()
    assert "FlagModel" in text
    assert re.findall(r"\]\((?!https?:)", text) == [], "links that lead nowhere outside the repository"
    expression = distribution.metadata["License-Expression"]
    assert {"MIT", "Apache-2.0", "Unicode-3.0"} <= set(expression.split(" AND ")), expression
    boms = [json.loads(file.read_text()) for file in distribution.files or [] if "/sboms/" in str(file)]
    components = {part["name"]: part["version"] for bom in boms for part in bom["components"]}
    assert {"onnxruntime", "ort", "tokenizers"} <= components.keys()
    crates = next(file for file in distribution.files or [] if file.name == "RUST-CRATES.txt").read_text()
    assert f"\ntokenizers {components['tokenizers']}: Apache-2.0\n" in crates


def check_it_runs() -> None:
    for absent in ("onnxruntime", "torch", "transformers", "tokenizers"):
        assert importlib.util.find_spec(absent) is None, absent
    vectors = bge_fast.FlagModel(str(MODEL)).encode(["a wing", "a flow"])
    assert vectors.shape == (2, 32)
    assert abs(float((vectors[0] ** 2).sum()) - 1) < 1e-5
    command = Path(sys.executable).with_name("bge-fast")
    told = subprocess.run([command, "--version"], check=True, capture_output=True, text=True).stdout
    assert bge_fast.__version__ in told, told
    subprocess.run([command, "doctor"], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    check_contents()
    check_metadata()
    check_it_runs()
    print("the installed wheel is complete and runs")
