"""Build backend: maturin's, after ONNX Runtime's CPU library was put into the package.

The library comes from the ``onnxruntime`` wheel that the build requirements name. It gets a file name and a soname of
its own, so that it meets no other copy of ONNX Runtime in the user's process or environment.
"""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import maturin
from maturin import build_sdist, get_requires_for_build_sdist, get_requires_for_build_wheel  # noqa: F401

LIBRARY = "libonnxruntime_bge_fast.so"
TARGET = Path(__file__).resolve().parent.parent / "python" / "bge_fast" / "_ort"


def vendor_runtime() -> None:
    """Copy library and licence texts of the installed ``onnxruntime`` into the package, if not there yet."""
    spec = importlib.util.find_spec("onnxruntime")
    if not sys.platform.startswith("linux") or spec is None or spec.origin is None:
        raise SystemExit("bge-fast: wheels can be built on Linux only for now, with onnxruntime as a build requirement")
    package = Path(spec.origin).parent
    source = next(package.glob("capi/libonnxruntime.so.*"))
    version_file, version = TARGET / "VERSION.txt", source.name.removeprefix("libonnxruntime.so.")
    if version_file.is_file() and version_file.read_text() == version and (TARGET / LIBRARY).is_file():
        return
    TARGET.mkdir(exist_ok=True)
    temporary = TARGET / f"{LIBRARY}.new"
    shutil.copy(source, temporary)
    subprocess.run(["patchelf", "--set-soname", LIBRARY, "--remove-rpath", str(temporary)], check=True)
    temporary.rename(TARGET / LIBRARY)
    shutil.copy(package / "LICENSE", TARGET / "ONNXRUNTIME-LICENSE.txt")
    shutil.copy(package / "ThirdPartyNotices.txt", TARGET / "ONNXRUNTIME-ThirdPartyNotices.txt")
    version_file.write_text(version)


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    vendor_runtime()
    return str(maturin.build_wheel(wheel_directory, config_settings, metadata_directory))


def build_editable(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    vendor_runtime()
    return str(maturin.build_editable(wheel_directory, config_settings, metadata_directory))


# Licence files are listed in the metadata, so they must be there before it is made.
def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Any = None) -> str:
    vendor_runtime()
    return str(maturin.prepare_metadata_for_build_wheel(metadata_directory, config_settings))


def prepare_metadata_for_build_editable(metadata_directory: str, config_settings: Any = None) -> str:
    vendor_runtime()
    return str(maturin.prepare_metadata_for_build_editable(metadata_directory, config_settings))


get_requires_for_build_editable = maturin.get_requires_for_build_editable
