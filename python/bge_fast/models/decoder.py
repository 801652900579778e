"""What decoder-only models share, embedders and rerankers."""

from dataclasses import replace
from typing import Any

from bge_fast.errors import DeviceError, warn
from bge_fast.models.model import Model
from bge_fast.opening.engine import EngineOptions
from bge_fast.runtime.devices import CPU
from bge_fast.runtime.library import default_device


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
        if options.device is None and default_device() != CPU:
            warn(
                f'{type(self).__name__} runs on the CPU alone, not on the GPU that is here: pass devices="cpu"',
                RuntimeWarning,
            )
        return replace(options, device=CPU)
