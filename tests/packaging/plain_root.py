"""A Dockerfile's steps in plain folders, by chroot: what can be tried of one where no container runs.

Knows what docker/Dockerfile takes and refuses the rest. There are no layers and no network of its own.
"""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

# Of this machine: names of others, certificates, and what says how packages are fetched.
OF_THE_HOST = ("/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf")
# The folder of a stage with the system's own file systems, for one process and its children.
MOUNTED = 'mount --bind "$0" "$0" && mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" && {read_only} exec chroot "$@"'


@dataclass
class Stage:
    """One ``FROM``, with what its instructions said."""

    folder: Path
    variables: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"})
    user: str = "0:0"
    command: str = ""
    health: list[str] = field(default_factory=list)

    def start(self, *words: str, user: str | None = None, read_only: bool = False) -> subprocess.Popen[str]:
        """Start a program in the stage, as the given or the image's user."""
        mounts = MOUNTED.format(read_only='mount -o remount,bind,ro "$0" &&' if read_only else "")
        user = user or self.user
        home = "/root" if user.startswith("0:") else "/"
        variables = [f"{name}={value}" for name, value in {"HOME": home, **self.variables}.items()]
        inside = (f"--userspec={user}", self.folder, "/usr/bin/env", "-i", *variables, *words)
        command = ("unshare", "--mount", "sh", "-c", mounts, self.folder, *inside)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *words: str, user: str | None = None, read_only: bool = False) -> str:
        """Run a program in the stage to its end; returns what it said."""
        process = self.start(*words, user=user, read_only=read_only)
        said, _ = process.communicate()
        assert process.returncode == 0, f"{words}: {said}"
        return said


def build(dockerfile: Path, context: Path, base: Path, work: Path, arguments: dict[str, str]) -> Stage:
    """Take all steps; returns the last stage."""
    stages: dict[str, Stage] = {}
    stage = Stage(work)
    for instruction, rest in instructions(dockerfile):
        words = rest.split()
        match instruction:
            case "FROM":
                stage = Stage(work / str(len(stages)))
                stage.variables |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
                copy(base, stage.folder)
                stages[words[-1]] = stage
            case "ARG" if stages:
                name, _, default = rest.partition("=")
                stage.variables[name] = arguments.get(name, default)
            case "ARG":
                pass  # which image: here it is the base
            case "ENV":
                known = dict(stage.variables)
                stage.variables |= {n: Template(v).substitute(known) for n, v in (word.split("=", 1) for word in words)}
            case "COPY":
                source = stages[words.pop(0).removeprefix("--from=")].folder if words[0].startswith("--") else context
                target = stage.folder / words[1].lstrip("/")
                copy(source / words[0].lstrip("/"), target)
            case "RUN":
                stage.run("/bin/sh", "-c", rest, user="0:0")
            case "USER":
                stage.user = rest
            case "HEALTHCHECK":
                stage.health = json.loads(rest.partition("CMD ")[2])
            case "CMD":
                stage.command = rest
            case "EXPOSE":
                pass
            case _:
                raise NotImplementedError(instruction)
    return stage


def copy(source: Path, target: Path) -> None:
    """Copy a folder with owners and devices."""
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "--archive", "--reflink=auto", source, target], check=True)


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """Each instruction with the rest of its line; lines that end in a backslash go on."""
    text = re.sub(r"(?m)^\s*#.*\n", "", dockerfile.read_text()).replace("\\\n", " ")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def make_base(folder: Path) -> None:
    """Debian with Python, in place of the image; kept, since it takes a minute."""
    if (folder / "usr" / "bin" / "python3").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    options = ("--quiet", "--variant=minbase", "--include=python3-venv,ca-certificates", "bookworm")
    subprocess.run(["mmdebstrap", *options, folder], check=True)
    for file in filter(os.path.exists, OF_THE_HOST):
        shutil.copy(file, folder / file.lstrip("/"))
