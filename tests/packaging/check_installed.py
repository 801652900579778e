"""Checks of an installed wheel, in an environment that has nothing but it. Run by `make test-dist`."""

import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path

import bge_fast

MODEL = Path(__file__).resolve().parents[2] / "build" / "models" / "tiny-bert"


def check_contents() -> None:
    package = Path(bge_fast.__file__).parent
    assert "site-packages" in package.parts, package
    distribution = importlib.metadata.distribution("bge-fast")
    files = {str(file) for file in distribution.files or []}
    for name in ("py.typed", "_core.pyi", "_ort/libonnxruntime_bge_fast.so"):
        assert f"bge_fast/{name}" in files, name
    for name in ("LICENSE", "THIRD-PARTY-NOTICES", "ONNXRUNTIME-LICENSE.txt", "ONNXRUNTIME-ThirdPartyNotices.txt"):
        assert any("dist-info" in file and file.endswith(name) for file in files), name
    assert distribution.version == bge_fast.__version__
    needed = [line for line in distribution.requires or [] if "extra ==" not in line]
    assert {line.split(">")[0] for line in needed} == {"numpy", "huggingface-hub", "tqdm"}, needed
    assert any(line.startswith("onnxruntime-gpu[cuda,cudnn]") for line in distribution.requires or [])
    assert "cp311-abi3-" in (distribution.read_text("WHEEL") or "")


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
    check_it_runs()
    print("the installed wheel is complete and runs")
