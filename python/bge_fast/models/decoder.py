"""What decoder-only models share, embedders and rerankers."""

from dataclasses import replace
from typing import Any

from bge_fast.errors import DeviceError
from bge_fast.models.model import Model
from bge_fast.opening.engine import EngineOptions
from bge_fast.runtime.devices import CPU


class Decoder(Model):
    """Base of the classes of decoder-only models, which run on the CPU alone."""

    _family = "decoder"
    use_bf16: bool

    def _options_of(self, **opening: Any) -> EngineOptions:
        options = super()._options_of(**opening)
        if options.device not in (None, CPU):
            raise DeviceError(
                f"{type(self).__name__} runs on the CPU alone, not on {options.device}: leave devices out, or pass "
                'devices="cpu"'
            )
        return replace(options, device=CPU)
