"""What every model object has: it opens once, tells about itself, closes, pickles, and knows a forked child."""

import os
import threading
from types import SimpleNamespace
from typing import Any, Self

from bge_fast.errors import warn
from bge_fast.models.inputs import one_of, whole_number
from bge_fast.models.prompts import with_instruction
from bge_fast.models.tokenizer import Tokenizer
from bge_fast.opening.engine import PRECISIONS, Engine, EngineOptions
from bge_fast.runtime.devices import parse_devices

# FlagEmbedding hands these to its tokenizer; they never change a number.
CALL_KEYWORDS_WITHOUT_EFFECT = frozenset({"pad_to_multiple_of", "padding_side", "return_attention_mask", "verbose"})
_warned_keywords: set[str] = set()
_DEFAULT_LENGTH = 512


class Model:
    """Base of the public classes. A subclass sets its attributes, then calls `_set_up`."""

    model_name_or_path: str
    kwargs: dict[str, Any]
    pool: None = None
    _known_keywords: frozenset[str] = frozenset({"device"})
    _config: SimpleNamespace | None = None
    _tokenizer: Tokenizer | None = None
    _warned_length = False

    def _set_up(self, options: EngineOptions) -> None:
        self._engine_options = options
        self._closed = False
        self._opened: Engine | None = None
        self._process, self._opening = os.getpid(), threading.Lock()
        self._open()

    def _open(self) -> Engine:
        opened = self._opened
        if opened is None:
            with self._lock_of_this_process():
                if self._closed:
                    raise ValueError(f"{self!r} was closed")
                opened = self._opened = self._opened or Engine(self._engine_options)
        opened.check_process()
        return opened

    def _lock_of_this_process(self) -> threading.Lock:
        # A child may have been forked while another thread of its parent was opening: nobody will ever unlock that one.
        if self._process != os.getpid():
            self._process, self._opening = os.getpid(), threading.Lock()
        return self._opening

    def info(self) -> dict[str, Any]:
        """Facts about the opened model: files, device, execution provider of the live session, library, limits."""
        return self._open().info()

    def close(self) -> None:
        """Release graph and weights. Calls that are running finish; later ones raise ``ValueError``."""
        with self._lock_of_this_process():
            self._closed = True
            self._opened = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def stop_self_pool(self) -> None:
        """Do nothing: there is no pool of processes. The model stays usable."""

    @property
    def target_devices(self) -> list[str]:
        """The device in use, as a list of one."""
        return [str(self._open().device)]

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer: ids of texts, texts of ids, and the special tokens."""
        engine = self._open()
        if self._tokenizer is None:
            self._tokenizer = Tokenizer(engine.core, engine.special_tokens, engine.source.max_length)
        return self._tokenizer

    @property
    def model(self) -> SimpleNamespace:
        """Not a torch module: an object whose ``config`` has the fields of ``config.json`` as attributes."""
        if self._config is None:
            self._config = SimpleNamespace(**{**self._open().source.config, "_name_or_path": self.model_name_or_path})
        return SimpleNamespace(config=self._config)

    @staticmethod
    def get_target_devices(devices: Any) -> list[str]:
        """Return the devices that ``devices`` names, as strings; the CPU where the choice is left open."""
        return [str(parse_devices(devices) or "cpu")]

    @staticmethod
    def get_detailed_instruct(instruction_format: str, instruction: str, sentence: str) -> str:
        """Return the sentence with the instruction before it, by the format."""
        return with_instruction([sentence], instruction, instruction_format)[0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model_name_or_path!r})"

    # A model pickles as path and options; the copy opens its files at first use.
    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_opened", "_opening", "_tokenizer")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._opened = None
        self._process, self._opening = os.getpid(), threading.Lock()

    def _set_keywords(self, kwargs: dict[str, Any]) -> None:
        """Keep keywords of FlagEmbedding's other classes as attributes; name each unknown one once a process."""
        self.kwargs = kwargs
        for name, value in kwargs.items():
            if not hasattr(type(self), name):
                setattr(self, name, value)
        if new := [name for name in kwargs if name not in self._known_keywords | _warned_keywords]:
            _warned_keywords.update(new)
            warn(f"{type(self).__name__} does not know {', '.join(new)}: accepted without effect")

    def _usable_length(self, name: str, length: int | None) -> int:
        """A length that the model can take; lowered to its limit with one warning an object."""
        limit = self._open().source.max_length
        if length is None:
            return limit
        if whole_number(name, length, 0) <= limit:
            return length
        # The default may well be more than a small model takes; only a length that was chosen is worth a warning.
        if length != _DEFAULT_LENGTH and not self._warned_length:
            self._warned_length = True
            warn(f"{name}={length} is lowered to {limit}, the limit of {self.model_name_or_path}")
        return limit

    def _check_device(self, device: str | None) -> None:
        if device is not None and str(parse_devices(device)) not in self.target_devices:
            raise ValueError(f"device={device!r} is not one of this model's devices {self.target_devices}")


def refuse_unknown_keywords(method: str, keywords: dict[str, Any], known: frozenset[str]) -> None:
    """Raise ``TypeError`` for a keyword that has no meaning, as any Python function does."""
    if unknown := keywords.keys() - known:
        raise TypeError(f"{method}() got an unexpected keyword argument {sorted(unknown)[0]!r}")


def engine_options(
    name: str,
    kwargs: dict[str, Any],
    *,
    devices: Any,
    precision: str | None,
    prefer_fp16: bool,
    cache_dir: Any,
    threads: int | None,
    low_memory: bool,
    **plain: Any,
) -> EngineOptions:
    """The constructor's arguments as plain values; ``device`` of ``kwargs`` is an alias of ``devices``.

    Raises:
        TypeError, ValueError: names the argument and what it may be.
    """
    return EngineOptions(
        name=name,
        device=parse_devices(devices, kwargs.get("device")),
        precision=None if precision is None else one_of("precision", precision, PRECISIONS),
        prefer_fp16=bool(prefer_fp16),
        cache_dir=None if cache_dir is None else str(cache_dir),
        threads=None if threads is None else whole_number("threads", threads, at_least=1),
        low_memory=bool(low_memory),
        **plain,
    )
