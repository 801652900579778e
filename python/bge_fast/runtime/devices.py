"""``devices=`` of the constructors: what may be written, and what it means."""

import re
from dataclasses import dataclass
from typing import Any

from bge_fast.errors import quoted
from bge_fast.runtime.cuda import device_count

_FORMS = 'None, "cpu", "cuda", "cuda:0", 0, "all" (every CUDA device), or a list such as ["cuda:0", "cuda:1"]'


@dataclass(frozen=True)
class Device:
    """What runs a model: the CUDA devices with the indices ``cuda``, or without any the CPU."""

    cuda: tuple[int, ...] = ()
    every: bool = False
    """Every CUDA device that is visible when a model opens."""

    @property
    def is_cuda(self) -> bool:
        """Whether it is not the CPU."""
        return self.every or bool(self.cuda)

    @property
    def names(self) -> list[str]:
        """Of each device, such as ``"cuda:0"``."""
        return [f"cuda:{index}" for index in self.cuda] or ["all" if self.every else "cpu"]

    def __str__(self) -> str:
        return ", ".join(self.names)

    def counted(self) -> "Device":
        """The same with an index for each; where the driver shows none, the first, so that the error says why."""
        return Device(tuple(range(device_count() or 1))) if self.every else self


CPU = Device()
_MOST_DEVICES = 10_000


def parse_devices(devices: Any, device: Any = None) -> Device | None:
    """Return the device or devices asked for; ``None`` leaves the choice to us.

    Raises:
        ValueError: not one of the accepted forms, CPU and CUDA together, or ``device`` and ``devices`` differ.
    """
    if devices is not None and device is not None and not _same(devices, device):
        raise ValueError(f"devices={quoted(devices)} and device={quoted(device)} differ; pass one of them")
    asked = device if devices is None else devices
    if isinstance(asked, list | tuple):
        return _parse_several(asked)
    return None if asked is None else _parse_one(asked)


def _parse_several(asked: list[Any] | tuple[Any, ...]) -> Device:
    if not asked:
        raise ValueError(f"devices={quoted(asked)} names no device; accepted are {_FORMS}")
    found = [_parse_one(one) for one in asked]
    if len({one.is_cuda for one in found}) > 1:
        raise ValueError(f"devices={quoted(asked)}: a model runs on the CPU or on CUDA devices, not on both")
    indices = dict.fromkeys(index for one in found for index in one.cuda)
    return Device(tuple(indices), every=any(one.every for one in found))


def _same(one: Any, other: Any) -> bool:
    same = one == other
    return same if isinstance(same, bool) else False  # arrays compare element by element


def _parse_one(asked: Any) -> Device:
    if isinstance(asked, int) and not isinstance(asked, bool) and 0 <= asked < _MOST_DEVICES:
        return Device((int(asked),))
    if isinstance(asked, str):
        if asked in ("cpu", "cpu:0"):
            return CPU
        if asked == "all":
            return Device(every=True)
        if match := re.fullmatch(r"cuda(?::(\d{1,4}))?", asked):
            return Device((int(match[1] or 0),))
    raise ValueError(f"devices={quoted(asked)} is not a device; accepted are {_FORMS}")
