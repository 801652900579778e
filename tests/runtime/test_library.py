"""Finding and loading ONNX Runtime. Each test that loads something runs in a process of its own: a process has one."""

import subprocess
import sys
from pathlib import Path

import bge_fast
from bge_fast.runtime.library import find_libraries

BUNDLED = Path(bge_fast.__file__).parent / "_ort" / "libonnxruntime_bge_fast.so"


def run(code: str, **options) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_bundled_library_is_there_and_last_choice():
    assert find_libraries()[-1].path == BUNDLED
    assert find_libraries()[-1].origin == "bundled"


def test_a_failed_load_says_why_and_can_be_tried_again(tmp_path):
    (tmp_path / "text.so").write_text("no library")
    (tmp_path / "other.so").symlink_to(next(Path("/usr/lib").glob("**/libm.so.6"), "/lib/x86_64-linux-gnu/libm.so.6"))
    out = run(f"""
from bge_fast import _core
from bge_fast.errors import RuntimeNotFoundError
for path in ("{tmp_path}/absent.so", "{tmp_path}/text.so", "{tmp_path}/other.so", "relative.so"):
    try:
        _core.load_runtime(path, [])
    except RuntimeNotFoundError as error:
        print(error)
print(_core.load_runtime({str(BUNDLED)!r}, []).version)
print(_core.load_runtime("{tmp_path}/absent.so", []).path)
""").splitlines()
    absent, text, other, relative, version, kept = out
    assert "absent.so" in absent
    assert "No such file" in absent
    assert "text.so" in text
    assert "OrtGetApiBase" in other
    assert "absolute" in relative
    assert version.startswith("1.")
    assert kept == str(BUNDLED)


def test_an_installation_without_a_library_says_how_to_get_one():
    out = run("""
import pathlib
from bge_fast.runtime import library
library._BUNDLED = pathlib.Path("/nowhere/lib.so")
try:
    library.load_runtime()
except library.RuntimeNotFoundError as error:
    print(error)
""")
    assert "pip install" in out


def test_another_platform_is_told_so():
    out = run("""
import sys
from bge_fast.runtime import library
sys.platform = "darwin"
try:
    library.load_runtime()
except library.RuntimeNotFoundError as error:
    print(error)
""")
    assert "bge-fast runs on Linux on x86-64 or aarch64" in out
    assert "this is darwin" in out


def test_a_process_exits_cleanly_without_a_library_and_with_an_open_model(tiny_bert):
    run("import bge_fast._core")
    run(f"from bge_fast import FlagModel; model = FlagModel({str(tiny_bert)!r}); model.encode('text')")


def test_python_onnxruntime_in_the_same_process_in_both_orders(tiny_bert):
    encode = f"from bge_fast import FlagModel; print(FlagModel({str(tiny_bert)!r}).encode('text')[:4].tolist())"
    use = "import onnxruntime; onnxruntime.get_available_providers()"
    alone, before, after = run(encode), run(f"{use}; {encode}"), run(f"{encode}; {use}")
    assert alone == before == after


def test_the_library_starts_without_telemetry(tiny_bert, tmp_path):
    """Its telemetry leaves a device id and a database in the cache folder, unless it sees a CI system's variables."""
    code = f"""
import os
from bge_fast import FlagModel
FlagModel({str(tiny_bert)!r}).encode("text")
print([name for name in os.environ if "TELEMETRY" in name])
"""
    out = run(code, env={"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin"})
    assert out.strip() == "[]"
    assert list(tmp_path.iterdir()) == []
