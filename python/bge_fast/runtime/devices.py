"""``devices=`` of the constructors: what may be written, and what it means."""

import re
from dataclasses import dataclass
from typing import Any

from bge_fast.errors import quoted

_FORMS = 'None, "cpu", "cuda", "cuda:0", 0, or a list with one of these'


@dataclass(frozen=True)
class Device:
    """One device. ``cuda`` is the index of a CUDA device, ``None`` for the CPU."""

    cuda: int | None = None

    def __str__(self) -> str:
        return "cpu" if self.cuda is None else f"cuda:{self.cuda}"


CPU = Device()
_MOST_DEVICES = 10_000


def parse_devices(devices: Any, device: Any = None) -> Device | None:
    """Return the device asked for; ``None`` leaves the choice to us.

    Raises:
        ValueError: not one of the accepted forms, or ``device`` and ``devices`` differ.
        NotImplementedError: more than one device.
    """
    if devices is not None and device is not None and not _same(devices, device):
        raise ValueError(f"devices={quoted(devices)} and device={quoted(device)} differ; pass one of them")
    asked = device if devices is None else devices
    if isinstance(asked, list | tuple):
        if len(asked) > 1:
            raise NotImplementedError(
                f"devices={quoted(asked)}: several devices in one model are not supported yet; open one model for each"
            )
        if not asked:
            raise ValueError(f"devices={quoted(asked)} names no device; accepted are {_FORMS}")
        asked = asked[0]
    return None if asked is None else _parse_one(asked)


def _same(one: Any, other: Any) -> bool:
    same = one == other
    return same if isinstance(same, bool) else False  # arrays compare element by element


def _parse_one(asked: Any) -> Device:
    if isinstance(asked, int) and not isinstance(asked, bool) and 0 <= asked < _MOST_DEVICES:
        return Device(int(asked))
    if isinstance(asked, str):
        if asked in ("cpu", "cpu:0"):
            return CPU
        if match := re.fullmatch(r"cuda(?::(\d{1,4}))?", asked):
            return Device(int(match[1] or 0))
    raise ValueError(f"devices={quoted(asked)} is not a device; accepted are {_FORMS}")
