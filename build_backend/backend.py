"""Build backend: maturin's, after what the package carries or declares and git does not was put in place.

That is ONNX Runtime's CPU library, from the ``onnxruntime`` wheel that the build requires, and in ``build/metadata``
the licence texts, the bill of materials and the README for package indexes. The library gets a file name and a soname
of its own, so that it meets no other copy of ONNX Runtime in the user's process or environment.

Run as a program it puts these in place for this machine; ``backend.py aarch64 FOLDER`` does so for another one, whose
package ``onnxruntime`` lies in ``FOLDER``.
"""

import importlib.util
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import maturin
from description import write_description
from licenses import write_licenses
from sbom import write_sbom

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "python"))

from bge_fast.runtime.platforms import MACHINES, unsupported  # noqa: E402

# Not in pyproject.toml, where an installer would look for them before it runs a line of this: on systems that they are
# not published for it could only say that there is no such version.
REQUIRED = ["onnxruntime==1.32.0", "patchelf"]
LIBRARY = "libonnxruntime_bge_fast.so"
TARGET = ROOT / "python" / "bge_fast" / "_ort"
METADATA = ROOT / "build" / "metadata"


def prepare(machine: str, package: Path) -> None:
    """Put everything in place that maturin finds missing in a fresh checkout."""
    METADATA.mkdir(parents=True, exist_ok=True)
    write_description(ROOT / "README.md", METADATA / "README.md")
    write_licenses(ROOT, f"{machine}-unknown-linux-gnu", METADATA / "RUST-CRATES.txt")
    shutil.copy(package / "LICENSE", METADATA / "ONNXRUNTIME-LICENSE.txt")
    shutil.copy(package / "ThirdPartyNotices.txt", METADATA / "ONNXRUNTIME-ThirdPartyNotices.txt")
    write_sbom(TARGET / LIBRARY, vendor(machine, package), METADATA / "onnxruntime.cdx.json")


def prepare_here() -> None:
    """The same for this machine, with the installed package ``onnxruntime``."""
    refuse_unsupported()
    spec = importlib.util.find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        raise SystemExit(f"bge-fast: the build requires {' and '.join(REQUIRED)}")
    prepare(platform.machine(), Path(spec.origin).parent)


def refuse_unsupported() -> None:
    """End before anything is fetched or compiled for a platform that the result would not run on."""
    if problem := unsupported():
        raise SystemExit(str(problem))


def vendor(machine: str, package: Path) -> str:
    """Copy the library into the package, if it is not there yet; returns its version."""
    source = next(package.glob("capi/libonnxruntime.so.*"))
    version = source.name.removeprefix("libonnxruntime.so.")
    stamp, made = TARGET / "VERSION.txt", f"{version} {machine}"
    if stamp.is_file() and stamp.read_text() == made and (TARGET / LIBRARY).is_file():
        return version
    TARGET.mkdir(exist_ok=True)
    temporary = TARGET / f"{LIBRARY}.new"
    shutil.copy(source, temporary)
    subprocess.run(["patchelf", "--set-soname", LIBRARY, "--remove-rpath", str(temporary)], check=True)
    temporary.rename(TARGET / LIBRARY)
    stamp.write_text(made)
    return version


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    refuse_unsupported()
    return [*maturin.get_requires_for_build_wheel(config_settings), *REQUIRED]


get_requires_for_build_sdist = get_requires_for_build_editable = get_requires_for_build_wheel


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    prepare_here()
    return str(maturin.build_wheel(wheel_directory, config_settings, metadata_directory))


def build_sdist(sdist_directory: str, config_settings: Any = None) -> str:
    prepare_here()
    return str(maturin.build_sdist(sdist_directory, config_settings))


def build_editable(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    prepare_here()
    return str(maturin.build_editable(wheel_directory, config_settings, metadata_directory))


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Any = None) -> str:
    prepare_here()
    return str(maturin.prepare_metadata_for_build_wheel(metadata_directory, config_settings))


def prepare_metadata_for_build_editable(metadata_directory: str, config_settings: Any = None) -> str:
    prepare_here()
    return str(maturin.prepare_metadata_for_build_editable(metadata_directory, config_settings))


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            prepare_here()
        case [machine, folder] if machine in MACHINES:
            prepare(machine, Path(folder))
        case _:
            raise SystemExit(f"usage: backend.py [{' | '.join(MACHINES)} FOLDER_OF_ONNXRUNTIME]")
