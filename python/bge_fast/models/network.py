"""``model.model``: what stands where FlagEmbedding has a torch module."""

from types import SimpleNamespace
from typing import Any, Self


class DeviceName(str):
    """The name of a device, such as ``"cuda:0"``, with the two parts of it that ``torch.device`` has."""

    __slots__ = ()

    @property
    def type(self) -> str:
        """``"cpu"`` or ``"cuda"``."""
        return self.partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]
        """The number of the device, where it has one."""
        number = self.partition(":")[2]
        return int(number) if number else None


class Network:
    """Not a torch module: ``config`` and ``device`` are there to be read, and what moves or casts weights does nothing.

    Where a model runs, and in which precision, is decided when it opens: ``devices=``, ``precision=``.
    """

    def __init__(self, config: SimpleNamespace, device: str) -> None:
        self.config = config
        """The fields of ``config.json`` as attributes."""
        self.device = DeviceName(device)
        """The first of the devices in use."""

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Return the object itself, as ``cpu``, ``cuda``, ``half``, ``bfloat16``, ``float`` and ``eval`` do."""
        return self

    cpu = cuda = half = bfloat16 = float = eval = to


class M3Network(Network):
    """That of BGE-M3: an encoder, and the head of multi-vectors with the width that it has, if there is one."""

    def __init__(self, config: SimpleNamespace, device: str, colbert_width: int | None) -> None:
        super().__init__(config, device)
        self.model = Network(config, device)
        self.colbert_linear = SimpleNamespace(out_features=colbert_width)
