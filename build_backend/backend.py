"""Build backend: maturin's, after what the package carries or declares and git does not was put in place.

That is ONNX Runtime's CPU library, from the ``onnxruntime`` wheel that the build requirements name, and in
``build/metadata`` the licence texts, the bill of materials and the README for package indexes. The library gets a file
name and a soname of its own, so that it meets no other copy of ONNX Runtime in the user's process or environment.
"""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import maturin
from description import write_description
from licenses import write_licenses
from maturin import get_requires_for_build_sdist, get_requires_for_build_wheel  # noqa: F401
from sbom import write_sbom

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = "libonnxruntime_bge_fast.so"
TARGET = ROOT / "python" / "bge_fast" / "_ort"
METADATA = ROOT / "build" / "metadata"


def prepare() -> None:
    """Put everything in place that maturin finds missing in a fresh checkout."""
    METADATA.mkdir(parents=True, exist_ok=True)
    write_description(ROOT / "README.md", METADATA / "README.md")
    write_licenses(ROOT, METADATA / "RUST-CRATES.txt")
    package = onnxruntime()
    shutil.copy(package / "LICENSE", METADATA / "ONNXRUNTIME-LICENSE.txt")
    shutil.copy(package / "ThirdPartyNotices.txt", METADATA / "ONNXRUNTIME-ThirdPartyNotices.txt")
    write_sbom(TARGET / LIBRARY, vendor(package), METADATA / "onnxruntime.cdx.json")


def onnxruntime() -> Path:
    """The folder of the installed package ``onnxruntime``."""
    spec = importlib.util.find_spec("onnxruntime")
    if not sys.platform.startswith("linux") or spec is None or spec.origin is None:
        raise SystemExit("bge-fast: wheels can be built on Linux only for now, with onnxruntime as a build requirement")
    return Path(spec.origin).parent


def vendor(package: Path) -> str:
    """Copy the library into the package, if it is not there yet; returns its version."""
    source = next(package.glob("capi/libonnxruntime.so.*"))
    version_file, version = TARGET / "VERSION.txt", source.name.removeprefix("libonnxruntime.so.")
    if version_file.is_file() and version_file.read_text() == version and (TARGET / LIBRARY).is_file():
        return version
    TARGET.mkdir(exist_ok=True)
    temporary = TARGET / f"{LIBRARY}.new"
    shutil.copy(source, temporary)
    subprocess.run(["patchelf", "--set-soname", LIBRARY, "--remove-rpath", str(temporary)], check=True)
    temporary.rename(TARGET / LIBRARY)
    version_file.write_text(version)
    return version


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    prepare()
    return str(maturin.build_wheel(wheel_directory, config_settings, metadata_directory))


def build_sdist(sdist_directory: str, config_settings: Any = None) -> str:
    prepare()
    return str(maturin.build_sdist(sdist_directory, config_settings))


def build_editable(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    prepare()
    return str(maturin.build_editable(wheel_directory, config_settings, metadata_directory))


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Any = None) -> str:
    prepare()
    return str(maturin.prepare_metadata_for_build_wheel(metadata_directory, config_settings))


def prepare_metadata_for_build_editable(metadata_directory: str, config_settings: Any = None) -> str:
    prepare()
    return str(maturin.prepare_metadata_for_build_editable(metadata_directory, config_settings))


get_requires_for_build_editable = maturin.get_requires_for_build_editable

if __name__ == "__main__":
    prepare()
