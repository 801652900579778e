"""The doctor: a sound machine, broken libraries, and each verdict it can come to."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import bge_fast
from bge_fast.commands.cli import main
from bge_fast.commands.doctor import acceleration, doctor, installation, machine, probe
from bge_fast.commands.doctor.check import Check
from bge_fast.commands.doctor.probe import ProbeError, ask
from bge_fast.commands.output import shorten_home
from bge_fast.runtime import limits
from bge_fast.runtime.library import Library, find_libraries
from tests.support.checkpoints import SOURCES

PACKAGE = Path(bge_fast.__file__).parent
IDS = [
    "package",
    "platform",
    "runtime",
    "ownership",
    "cuda-libraries",
    "driver",
    "run-cpu",
    "cpu",
    "memory",
    "cache",
    "hub",
]
CPU_ONLY = not any(library.cuda_provider for library in find_libraries())
needs_cpu_only = pytest.mark.skipif(not CPU_ONLY, reason="onnxruntime-gpu is installed")


def report(*words: str, package: Path | None = None, **environment: str) -> tuple[int, dict[str, Any]]:
    """Exit status and report of a doctor in a process of its own, of the package's copy in ``package`` if given."""
    variables = {**os.environ, **environment} | ({"PYTHONPATH": str(package)} if package else {})
    command = [sys.executable, "-P", "-m", "bge_fast", "doctor", "--json", *words]
    ended = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=60, check=False)
    assert ended.stderr == ""
    return ended.returncode, json.loads(ended.stdout)


def by_id(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {check["id"]: check for check in found["checks"]}


@pytest.fixture
def own_package(tmp_path: Path) -> Path:
    """A folder to import a copy of the package from; its ONNX Runtime is not copied."""
    shutil.copytree(PACKAGE, tmp_path / "site" / "bge_fast", ignore=shutil.ignore_patterns("_ort", "__pycache__"))
    (tmp_path / "site" / "bge_fast" / "_ort").mkdir()
    return tmp_path / "site"


@needs_cpu_only
def test_sound_machine_without_network(tmp_path: Path) -> None:
    started = time.monotonic()
    status, found = report(HOME=str(tmp_path), HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    assert time.monotonic() - started < 20
    assert found.keys() == {"schema", "verdict", "checks"}
    assert found["schema"] == 1
    assert [check["id"] for check in found["checks"]] == IDS
    for check in found["checks"]:
        assert check.keys() == {"id", "status", "fact", "remedy"}
        assert check["status"] in ("ok", "warn", "error", "skip")
        assert check["fact"]
        assert bool(check["remedy"]) == (check["status"] in ("warn", "error")), check
    checks = by_id(found)
    assert (status, checks["run-cpu"]["status"], checks["runtime"]["status"]) == (0, "ok", "ok")
    assert "CPUExecutionProvider" in checks["run-cpu"]["fact"]
    assert checks["cache"]["fact"].startswith("~/.cache/huggingface/hub (default), not made yet")
    assert checks["hub"]["fact"] == "offline: HF_HUB_OFFLINE=1, endpoint: http://127.0.0.1:9, token: no"
    assert not (tmp_path / ".cache").exists(), "nothing is written"


@needs_cpu_only
def test_without_a_folder_for_temporary_files(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(machine.tempfile, "gettempdir", none)
    assert main(["doctor", "--json"]) == 0
    check = by_id(json.loads(capsys.readouterr().out))["run-cpu"]
    assert check["status"] == "warn"
    assert "--tmpfs /tmp" in check["remedy"]


@needs_cpu_only
def test_report_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--device", "cuda"]) == doctor.ERROR_FOUND == 3
    shown = capsys.readouterr().out.splitlines()
    assert shown[-1] == "verdict: error"
    place = next(number for number, line in enumerate(shown) if line.startswith("error  run-cuda:0"))
    assert "has no CUDA provider" in shown[place]
    assert shown[place + 1].strip() == '→ pip install "bge-fast[gpu]"'


@pytest.mark.parametrize("source", SOURCES)
def test_model_is_run(source: str, tmp_path: Path) -> None:
    status, found = report(str(SOURCES[source]("tiny-bert")), "--device", "cpu")
    assert (status, by_id(found)["model"]["status"]) == (0, "ok")
    assert f"{source} at" in by_id(found)["model"]["fact"]
    status, found = report(str(tmp_path / "none"), "--device", "cpu")
    assert (status, by_id(found)["model"]["status"], by_id(found)["run-cpu"]["status"]) == (3, "error", "ok")
    assert by_id(found)["model"]["remedy"] == "check the path"


def test_model_is_not_downloaded(tmp_path: Path) -> None:
    status, found = report("BAAI/bge-m3", "--device", "cpu", HF_HOME=str(tmp_path), HF_ENDPOINT="http://127.0.0.1:9")
    assert (status, by_id(found)["model"]["remedy"]) == (3, "bge-fast download BAAI/bge-m3")


# broken installations


@needs_cpu_only
@pytest.mark.parametrize("library", ["missing", "garbage"])
def test_broken_library(own_package: Path, library: str) -> None:
    if library == "garbage":
        (own_package / "bge_fast" / "_ort" / "libonnxruntime_bge_fast.so").write_bytes(b"no library")
    status, found = report(package=own_package)
    checks = by_id(found)
    assert (status, found["verdict"], list(checks)) == (3, "error", IDS)
    assert [name for name, check in checks.items() if check["status"] == "error"] == ["runtime", "run-cpu"]
    assert checks["runtime"]["remedy"] == "pip install --force-reinstall bge-fast"


@needs_cpu_only
def test_crash_in_native_code_leaves_the_rest_readable(own_package: Path) -> None:
    (own_package / "bge_fast" / "_ort" / "libonnxruntime_bge_fast.so").touch()
    with (own_package / "bge_fast" / "runtime" / "library.py").open("a") as source:
        source.write("\n\ndef load_runtime():\n    os.abort()\n")
    status, found = report(package=own_package)
    checks = by_id(found)
    assert (status, list(checks)) == (3, IDS)
    assert checks["runtime"]["fact"].startswith("the process crashed with SIGABRT")
    assert checks["cpu"]["status"] == "ok"


def test_core_that_cannot_be_imported_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bge_fast.runtime.library", None)
    monkeypatch.delitem(sys.modules, "bge_fast.commands.doctor.acceleration")
    checks = {check.id: check for check in doctor.Examination(device="cpu").checks()}
    assert checks["runtime"].status == "error"
    assert "ModuleNotFoundError" in checks["runtime"].fact
    assert checks["cpu"].status == "ok"


def test_check_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Check:
        raise OSError("odd machine")

    monkeypatch.setattr(machine, "check_memory", fail)
    checks = {check.id: check for check in doctor.Examination(device="cpu").checks()}
    assert checks["memory"].status == "error"
    assert "OSError: odd machine" in checks["memory"].fact
    assert checks["hub"].status == "ok"


def test_slow_probe_is_given_up() -> None:
    with pytest.raises(ProbeError, match="no answer within 0 s"):
        ask("run", "cpu", seconds=0.01)


def test_probe_that_ends_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "__name__", "bge_fast.no_such_module")
    with pytest.raises(ProbeError, match="ended with status 1: .*no_such_module"):
        ask("run", "cpu")


RAN = {"execution_provider": "CPUExecutionProvider", "precision": "fp32", "open_ms": 1, "run_ms": 1, "right": True}


@pytest.mark.parametrize(
    ("device", "facts", "status", "fact"),
    [
        ("cpu", {}, "ok", "ran on cpu"),
        ("cpu", {"right": False}, "error", "its vector is wrong"),
        ("cuda:0", {}, "error", "not the device asked for"),
        ("cuda:0", {"execution_provider": "CUDAExecutionProvider"}, "ok", "ran on cuda:0"),
    ],
)
def test_run(monkeypatch: pytest.MonkeyPatch, device: str, facts: dict[str, Any], status: str, fact: str) -> None:
    monkeypatch.setattr(doctor, "ask", lambda *_, **__: RAN | facts)
    check = {check.id: check for check in doctor.Examination(device=device).checks() if check.id.startswith("run")}
    assert check[f"run-{device}"].status == status
    assert fact in check[f"run-{device}"].fact


# single checks


@pytest.mark.parametrize(
    ("device", "cuda", "driver", "status"),
    [
        (None, None, {"devices": None}, "skip"),
        ("cuda:0", None, {"devices": None}, "error"),
        (None, {}, {"devices": None}, "warn"),
        (None, {}, {"devices": 0}, "warn"),
        ("cuda:0", {}, {"devices": 0}, "error"),
        (None, None, {"devices": 1}, "warn"),
        (None, {}, {"devices": 1}, "ok"),
        (None, {}, {"devices": 1, "cuda_version": 12080}, "error"),
        ("cuda:1", {}, {"devices": 1}, "error"),
    ],
)
def test_driver(device: str | None, cuda: dict[str, Any] | None, driver: dict[str, Any], status: str) -> None:
    libraries = None if cuda is None else {"needed": ["libcudart.so.13", "libcublasLt.so.13", "libcufft.so.12"]}
    check = acceleration.check_driver(device, libraries, {"cuda_version": 13010, **driver})
    assert check.status == status
    assert bool(check.remedy) == (status in ("warn", "error"))


@pytest.mark.parametrize(
    ("wanted", "facts", "status", "said"),
    [
        (False, None, "skip", ""),
        (True, None, "error", "bge-fast[gpu]"),
        (False, {"missing": ["libcublasLt.so.13"], "packages": ["nvidia-cublas"]}, "error", "nvidia-cublas"),
        (False, {"cudnn": False}, "warn", "bge-fast[gpu]"),
        (False, {}, "ok", ""),
    ],
)
def test_cuda_libraries(wanted: bool, facts: dict[str, Any] | None, status: str, said: str) -> None:
    found = (
        None if facts is None else {"missing": [], "packages": [], "needed": ["libcudart.so.13"], "cudnn": True} | facts
    )
    check = acceleration.check_cuda_libraries(wanted, found)
    assert check.status == status
    assert said in (check.remedy or "")


def test_gpu_package_that_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = {"version": "1.31.1", "path": "/lib.so", "providers": ["CPUExecutionProvider"]}
    libraries = [Library(Path("/lib.so"), "bundled")]
    monkeypatch.setattr(acceleration, "_gpu_package", lambda: None)
    assert acceleration.check_runtime(libraries, loaded).status == "ok"
    monkeypatch.setattr(acceleration, "_gpu_package", lambda: "1.18.0")
    check = acceleration.check_runtime(libraries, loaded)
    assert (check.status, check.remedy) == ("warn", 'pip install "bge-fast[gpu]"')
    assert "onnxruntime-gpu 1.18.0" in check.fact


@pytest.mark.parametrize(
    ("owners", "status"), [([], "skip"), (["onnxruntime"], "ok"), (["onnxruntime", "onnxruntime-gpu"], "error")]
)
def test_ownership(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owners: list[str], status: str) -> None:
    for owner in [*owners, "other"]:
        folder = tmp_path / f"{owner.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {owner}\nVersion: 1.0\n")
        package = "other_onnxruntime" if owner == "other" else "onnxruntime"
        (folder / "RECORD").write_text(f"{package}/__init__.py,,\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    check = installation.check_ownership()
    assert check.status == status
    if status == "error":
        assert check.remedy == 'pip uninstall -y onnxruntime onnxruntime-gpu && pip install "bge-fast[gpu]"'


def fake_files(monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    for module in (limits, machine):
        monkeypatch.setattr(module, "read_text", lambda path: files.get(str(path), ""))


CGROUPS = [
    ({"/proc/self/cgroup": "0::/"}, None, None),
    (
        {
            "/proc/self/cgroup": "0::/a/b",
            "/sys/fs/cgroup/a/cpu.max": "150000 100000",
            "/sys/fs/cgroup/a/b/cpu.max": "max 100000",
        },
        1.5,
        None,
    ),
    (
        {"/proc/self/cgroup": "0::/", "/sys/fs/cgroup/cpu.max": "50000 100000", "/sys/fs/cgroup/memory.max": "1000"},
        0.5,
        1000,
    ),
    (
        {
            "/proc/self/cgroup": "4:memory:/d\n3:cpu,cpuacct:/d\n1:name=systemd:/d",
            "/sys/fs/cgroup/cpu/d/cpu.cfs_quota_us": "200000\n",
            "/sys/fs/cgroup/cpu/d/cpu.cfs_period_us": "100000\n",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "/sys/fs/cgroup/memory/d/memory.limit_in_bytes": "4096\n",
        },
        2.0,
        4096,
    ),
    ({"/proc/self/cgroup": "3:cpu:/", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1"}, None, None),
]


@pytest.mark.parametrize(("files", "quota", "limit"), CGROUPS)
def test_cgroup(monkeypatch: pytest.MonkeyPatch, files: dict[str, str], quota: float | None, limit: int | None) -> None:
    fake_files(monkeypatch, files)
    assert limits.cpu_quota() == quota
    assert limits.memory_limit() == limit


def test_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    cpuinfo = "model name\t: Some CPU\nflags\t\t: fpu avx2 avx512_vnni\n"
    fake_files(monkeypatch, {"/proc/cpuinfo": cpuinfo})
    assert machine.check_cpu(2).status == "ok"
    assert machine.check_cpu(2).fact.startswith("Some CPU; avx2 avx512_vnni; ")
    fake_files(monkeypatch, {"/proc/cpuinfo": cpuinfo.replace("avx2", "sse2")})
    assert machine.check_cpu(2).status == "warn"
    fake_files(monkeypatch, {"/proc/cpuinfo": "Features\t: fp asimd asimddp crc32 bf16\n"})
    assert machine.check_cpu(2).status == "ok"
    assert "; asimd asimddp bf16; " in machine.check_cpu(2).fact
    quota = {"/proc/self/cgroup": "0::/", "/sys/fs/cgroup/cpu.max": "50000 100000"}
    fake_files(monkeypatch, {"/proc/cpuinfo": cpuinfo, **quota})
    assert machine.check_cpu(1).status == "warn"
    assert "quota 0.5" in machine.check_cpu(1).fact


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"HF_HUB_CACHE": "~/a"},
        {"HF_HOME": "/b"},
        {"XDG_CACHE_HOME": "/c"},
        {"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"},
        {"HF_HOME": "/b", "HF_HUB_CACHE": "$HOME/d"},
        {"HUGGINGFACE_HUB_CACHE": "/e", "HF_HOME": "/b"},
    ],
)
def test_cache_folder_is_the_hubs(variables: dict[str, str]) -> None:
    code = (
        "from huggingface_hub.constants import HF_HUB_CACHE; from bge_fast.commands.doctor.installation import cache_folder; "
        "assert str(cache_folder()[0]) == HF_HUB_CACHE, (cache_folder(), HF_HUB_CACHE)"
    )
    known = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in known} | variables
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_cache_that_others_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    tmp_path.chmod(0o755)
    assert installation.check_cache().status == "ok"
    tmp_path.chmod(0o777)
    check = installation.check_cache()
    assert (check.status, check.remedy) == ("warn", f"chmod o-w {tmp_path}")
    (tmp_path / "file").touch()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "file"))
    assert installation.check_cache().status == "warn"


def test_token_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert installation.check_hub().fact.endswith("token: yes")
    assert "secret" not in installation.check_hub().fact


def test_home_is_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert shorten_home("/home/me/x, (/home/me) /home/me2/x /mnt/home/me/x") == "~/x, (~) /home/me2/x /mnt/home/me/x"
    monkeypatch.setenv("HOME", "/")
    assert shorten_home("/usr/lib") == "/usr/lib"


@pytest.mark.parametrize(
    ("statuses", "found"), [([], "ok"), (["skip"], "ok"), (["ok", "warn"], "warn"), (["error", "ok"], "error")]
)
def test_verdict(statuses: list[Any], found: str) -> None:
    assert doctor.verdict([Check("id", status, "fact") for status in statuses]) == found
