"""Packages, the hub's cache, and how the hub is reached."""

import os
import platform
import shutil
import stat
import sysconfig
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from bge_fast.commands.doctor.check import INSTALL_GPU, REINSTALL, Check
from bge_fast.opening.hub_failures import without_password
from bge_fast.runtime.platforms import SUPPORTED, describe, unsupported

_NEIGHBOURS = (
    "numpy",
    "huggingface-hub",
    "torch",
    "transformers",
    "FlagEmbedding",
    "sentence-transformers",
    "fastembed",
)
_LITTLE_SPACE = 1 << 30


def check_package() -> Check:
    """Versions of this package, of Python, and of the packages that meet it in one process."""
    try:
        own = version("bge-fast")
    except PackageNotFoundError:
        return Check("package", "error", "bge-fast runs, but is not installed as a package", REINSTALL)
    threading = "free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else "with GIL"
    found = [f"{name} {installed}" for name in _NEIGHBOURS if (installed := _version(name))]
    python = f"Python {platform.python_version()} {threading}, {sysconfig.get_platform()}"
    return Check("package", "ok", f"bge-fast {own}, {python}; {', '.join(found)}")


def check_ownership() -> Check:
    """Which packages installed files under ``onnxruntime/``: two of them overwrite each other."""
    owners = sorted(
        {
            f"{one.metadata['Name']} {one.version}"
            for one in distributions()
            if "\nonnxruntime/" in "\n" + (one.read_text("RECORD") or "")
        }
    )
    if not owners:
        return Check("ownership", "skip", "no onnxruntime package is installed; the bundled library needs none")
    if len(owners) == 1:
        return Check("ownership", "ok", f"onnxruntime/ belongs to {owners[0]} alone")
    names = " ".join(owner.split(" ")[0] for owner in owners)
    again = INSTALL_GPU if "onnxruntime-gpu" in names else "pip install onnxruntime"
    fact = f"onnxruntime/ belongs to {' and '.join(owners)}, which overwrite each other's files"
    return Check("ownership", "error", fact, f"pip uninstall -y {names} && {again}")


def cache_folder(environment: Mapping[str, str] = os.environ) -> tuple[Path, str]:
    """The hub's cache, and the variable that says so (``default`` for none)."""
    for variable, below in (
        ("HF_HUB_CACHE", ""),
        ("HUGGINGFACE_HUB_CACHE", ""),
        ("HF_HOME", "hub"),
        ("XDG_CACHE_HOME", "huggingface/hub"),
    ):
        if variable in environment:
            return Path(os.path.expandvars(environment[variable])).expanduser() / below, variable
    return Path.home() / ".cache/huggingface/hub", "default"


def check_cache() -> Check:
    """Where downloads go, whether they can, and who else can write there."""
    folder, variable = cache_folder()
    where = f"{folder} ({variable})"
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        remedy = "export HF_HOME=FOLDER   (one that you may write to)"
        return Check(
            "cache", "warn", f"{where} cannot be written to: models that are there open, others do not", remedy
        )
    free = shutil.disk_usage(existing).free
    fact = f"{where}{'' if folder.exists() else ', not made yet'}, {free / 2**30:.1f} GiB free"
    if folder.exists() and stat.S_IMODE(folder.stat().st_mode) & stat.S_IWOTH:
        return Check("cache", "warn", f"{fact}: everybody on this machine can change models", f"chmod o-w {folder}")
    left_over = sum(path.stat().st_size for path in folder.glob("*/blobs/*.incomplete"))
    if left_over:
        fact += f", {left_over / 2**20:.0f} MiB of unfinished downloads"
    if free < _LITTLE_SPACE:
        return Check("cache", "warn", f"{fact}: a large model will not fit", f"du -sh {folder}/*   (and delete some)")
    return Check("cache", "ok", fact)


def check_hub() -> Check:
    """Variables that decide how the hub is reached. The token itself is never shown."""
    offline = [name for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if os.environ.get(name)]
    home = cache_folder({name: value for name, value in os.environ.items() if "HUB_CACHE" not in name})[0].parent
    token = bool(os.environ.get("HF_TOKEN")) or Path(os.environ.get("HF_TOKEN_PATH", home / "token")).is_file()
    facts = [
        "offline: " + (" ".join(f"{name}={os.environ[name]}" for name in offline) or "no"),
        f"endpoint: {without_password(os.environ.get('HF_ENDPOINT', 'https://huggingface.co'))}",
        f"token: {'yes' if token else 'no'}",
    ]
    return Check("hub", "ok", ", ".join(facts))


def check_platform() -> Check:
    """Whether there is a library for this system at all."""
    if problem := unsupported():
        return Check("platform", "error", f"bge-fast runs on {SUPPORTED}; this is {problem.found}", problem.remedy)
    return Check("platform", "ok", f"{describe()}, {' '.join(platform.libc_ver())}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
