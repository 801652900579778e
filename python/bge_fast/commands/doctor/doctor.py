"""``bge-fast doctor``: whether embedding works on this machine, where it does not, and the command that repairs it.

Nothing is downloaded and no model is needed. Native code runs in processes of its own: a crash is one line.
"""

import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from bge_fast.commands import output
from bge_fast.commands.doctor import installation, machine
from bge_fast.commands.doctor.check import INSTALL_GPU, REINSTALL, Check, Status
from bge_fast.commands.doctor.probe import Facts, ProbeError, ask
from bge_fast.errors import BGEFastError, UnsupportedModelError

SCHEMA = 1
ERROR_FOUND = 3
_SECONDS = 18.0
_SECONDS_A_PROBE = 10.0
_SEVERITY: tuple[Status, ...] = ("skip", "ok", "warn", "error")


def run(args: Namespace) -> int:
    """Report on this machine."""
    examination = Examination(args.model, args.device)
    checks = []
    for check in examination.checks():
        checks.append(check)
        if not args.json:
            _show(check)
    found = verdict(checks)
    if args.json:
        report = {"schema": SCHEMA, "verdict": found, "checks": [check.as_json() for check in checks]}
        output.result(output.to_json(report))
    else:
        output.result(f"verdict: {found}")
    return ERROR_FOUND if found == "error" else 0


def verdict(checks: list[Check]) -> str:
    """The worst status; what was skipped does not count."""
    worst = max((_SEVERITY.index(check.status) for check in checks), default=0)
    return _SEVERITY[max(worst, 1)]


@dataclass
class Examination:
    """One run of the doctor."""

    model: str | None = None
    device: str | None = None
    _ends: float = field(default_factory=lambda: time.monotonic() + _SECONDS)
    _answers: dict[tuple[str, ...], Facts | ProbeError] = field(default_factory=dict)
    _sound: set[str] = field(default_factory=set)
    """Devices on which the built-in model ran as it should: what goes wrong there later is another model's fault."""

    def checks(self) -> Iterator[Check]:
        """Make all checks, one after the other; none of them raises."""
        yield from map(_guarded, ("package", "platform"), (installation.check_package, installation.check_platform))
        yield _guarded("runtime", self._runtime)
        yield _guarded("ownership", installation.check_ownership)
        yield _guarded("cuda-libraries", self._cuda_libraries)
        yield _guarded("driver", self._driver)
        for device in self._devices():
            yield _guarded(f"run-{device}", partial(self._run, f"run-{device}", device))
        yield _guarded("cpu", self._cpu)
        yield _guarded("memory", machine.check_memory)
        yield _guarded("cache", installation.check_cache)
        yield _guarded("hub", installation.check_hub)
        if self.model:
            yield _guarded("model", self._model)

    def _ask(self, question: str, *words: str) -> Facts:
        asked = (question, *words)
        if asked not in self._answers:
            seconds = max(0.5, min(_SECONDS_A_PROBE, self._ends - time.monotonic()))
            try:
                self._answers[asked] = ask(question, *words, seconds=seconds)
            except ProbeError as error:
                self._answers[asked] = error
        answer = self._answers[asked]
        if isinstance(answer, ProbeError):
            raise answer
        return answer

    def _runtime(self) -> Check:
        from bge_fast.commands.doctor import acceleration
        from bge_fast.runtime.library import find_libraries

        libraries = find_libraries()
        return acceleration.check_runtime(libraries, self._ask("runtime")) if libraries else acceleration.no_runtime()

    def _cuda_facts(self) -> Facts | None:
        from bge_fast.runtime.library import find_libraries

        best = next(iter(find_libraries()), None)
        provider = best.cuda_provider if best else None
        return self._ask("cuda-libraries", str(provider)) if provider else None

    def _cuda_libraries(self) -> Check:
        from bge_fast.commands.doctor import acceleration

        return acceleration.check_cuda_libraries(self._wants_cuda(), self._cuda_facts())

    def _driver(self) -> Check:
        from bge_fast.commands.doctor import acceleration

        return acceleration.check_driver(self.device, self._cuda_facts(), self._ask("driver"))

    def _cpu(self) -> Check:
        try:
            threads: int | None = self._ask("threads")["threads"]
        except ProbeError:
            threads = None
        return machine.check_cpu(threads)

    def _wants_cuda(self) -> bool:
        return self.device is not None and self.device != "cpu"

    def _devices(self) -> list[str]:
        if self.device:
            return [self.device]
        try:
            return ["cpu", "cuda:0"] if self._cuda_facts() else ["cpu"]
        except (ImportError, ProbeError):
            return ["cpu"]

    def _run(self, name: str, device: str, model: str = "") -> Check:
        what = "the model" if model else "a tiny built-in model"
        if not model and not machine.has_temporary_folder():
            return Check(name, "warn", f"{what} was not run: no folder for temporary files", machine.TEMPORARY_FOLDER)
        try:
            facts = self._ask("run", device, model)
        except ProbeError as error:
            reason = str(error).removeprefix(f'devices="{device}": ').removesuffix(" Details: bge-fast doctor")
            fatal = device == "cpu" or self._wants_cuda()
            fact = f"{what} does not run on {device}: {reason}"
            remedy = REINSTALL if device == "cpu" else INSTALL_GPU
            if model and device in self._sound:
                remedy = self._repair()
            return Check(name, "error" if fatal or device in self._sound else "warn", fact, remedy)
        provider = facts["execution_provider"]
        fact = (
            f"{what} ran on {device} by {provider}, {facts['precision']}: "
            f"opened in {facts['open_ms']:.0f} ms, one text in {facts['run_ms']:.1f} ms"
        )
        if (provider == "CUDAExecutionProvider") != (device != "cpu"):
            return Check(name, "error", f"{fact}, which is not the device asked for", INSTALL_GPU)
        if not facts["right"]:
            return Check(name, "error", f"{fact}, but its vector is wrong", REINSTALL)
        if not model:
            self._sound.add(device)
        return Check(name, "ok", fact)

    def _repair(self) -> str:
        """What to do about a model on a machine that is sound."""
        name = str(self.model)
        if Path(name).expanduser().exists():
            return "the machine is sound: repair the folder, or copy it again from where it came"
        return f"the machine is sound: delete the model's folder in the cache, then bge-fast download {name:.120}"

    def _model(self) -> Check:
        from bge_fast.commands.defaults import locate

        name = str(self.model)
        try:
            files = locate(name, self.device, download=False)
        except BGEFastError as error:
            return Check("model", "error", str(error), self._remedy_for(error))
        described = f"{files.origin} at {files.folder}, {files.architecture}, {files.dimension} dimensions"
        ran = self._run("model", self._devices()[-1], str(files.folder))
        return replace(ran, fact=f"{described}; {ran.fact}")

    def _remedy_for(self, error: BGEFastError) -> str:
        """What to do where the model's files cannot be opened."""
        name = str(self.model)
        if Path(name).expanduser().exists():
            return "pass another folder, or repair this one as the line above says"
        if isinstance(error, UnsupportedModelError):
            return "take a model of a supported architecture"
        # Only a name that the hub may have can be downloaded.
        is_name = "not a hub id" not in str(error) and name.count("/") <= 1
        return f"bge-fast download {name:.120}" if is_name else "check the path"


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except ProbeError as error:
        return Check(name, "error", str(error), REINSTALL)
    except Exception as error:
        remedy = "report this, please" if name == "model" else REINSTALL
        return Check(name, "error", f"this check failed: {type(error).__name__}: {error}", remedy)


def _show(check: Check) -> None:
    output.result(output.shorten_home(f"{check.status:<5}  {check.id:<14}  {' '.join(check.fact.split())}"))
    if check.remedy:
        output.result(output.shorten_home(f"{'':23}→ {check.remedy}"))
    output.flush()
