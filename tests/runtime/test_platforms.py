"""Platforms that bge-fast does not run on are told so: by the build backend before it compiles, at run time, by the doctor."""

import os
import platform
import struct
import subprocess
import sys
from typing import Any

import pytest

from bge_fast.commands.doctor.installation import check_platform
from bge_fast.runtime.platforms import unsupported
from tests.support.checkpoints import ROOT

PLATFORMS = [
    (
        "darwin",
        "arm64",
        "glibc 2.36",
        8,
        "darwin arm64: use a Linux container, on Apple's processors one for linux/arm64",
    ),
    ("win32", "AMD64", "glibc 2.36", 8, "win32 AMD64: use WSL 2"),
    ("linux", "riscv64", "glibc 2.36", 8, "linux riscv64: use such a machine"),
    ("linux", "x86_64", "glibc 2.36", 4, "a 32-bit Python on linux x86_64: use a 64-bit Python"),
    ("linux", "x86_64", ValueError("unrecognized configuration name"), 8, "without glibc"),
    ("linux", "aarch64", None, 8, "without glibc"),
    ("linux", "aarch64", "glibc 2.17", 8, "with glibc 2.17: use a system or image with glibc"),
]


def pretend(monkeypatch: pytest.MonkeyPatch, system: str, machine: str, libc: Any, pointer: int) -> None:
    def confstr(name: str) -> str | None:
        if isinstance(libc, Exception):
            raise libc
        return libc

    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(os, "confstr", confstr)
    monkeypatch.setattr(struct, "calcsize", lambda _: pointer)


@pytest.mark.parametrize(("system", "machine", "libc", "pointer", "expected"), PLATFORMS)
def test_each_is_named_with_what_to_take_instead(monkeypatch, system, machine, libc, pointer, expected):
    pretend(monkeypatch, system, machine, libc, pointer)
    problem = unsupported()
    found = check_platform()
    monkeypatch.undo()
    assert expected in str(problem)
    assert (found.status, found.remedy) == ("error", problem.remedy)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_both_machines_with_an_old_enough_glibc_are_fine(monkeypatch, machine):
    pretend(monkeypatch, "linux", machine, "glibc 2.28", 8)
    problem = unsupported()
    monkeypatch.undo()
    assert problem is None


def test_this_machine_is_fine():
    assert unsupported() is None
    assert check_platform().status == "ok"


@pytest.mark.parametrize("hook", ["get_requires_for_build_wheel()", "build_wheel('/nowhere')"])
def test_the_build_backend_refuses_before_it_asks_for_anything(hook):
    code = f"import os; os.confstr = lambda _: None; import backend; backend.{hook}"
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "build_backend")}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("bge-fast runs on Linux on x86-64 or aarch64"), ended.stderr
    assert "Traceback" not in ended.stderr
