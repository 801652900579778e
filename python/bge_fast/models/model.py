"""What every model object has: it opens once, tells about itself, closes, pickles, and knows a forked child."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, Self

from bge_fast.errors import quoted, warn
from bge_fast.models.arguments import arguments_of
from bge_fast.models.inputs import flag, one_of, positive_number, whole_number
from bge_fast.models.keywords import ModelKeywords
from bge_fast.models.network import Network
from bge_fast.models.pool import OfOneProcess
from bge_fast.models.prompts import with_instruction
from bge_fast.models.shapes import Devices, Texts
from bge_fast.models.stats import ModelStats, stats_of
from bge_fast.models.tokenizer import Tokenizer
from bge_fast.opening.choice import COMPUTATIONS, checked_graph_name
from bge_fast.opening.engine import Engine, EngineOptions, ModelInfo, Outputs, Waiting
from bge_fast.runtime.devices import CPU, parse_devices
from bge_fast.runtime.locks import Lock
from bge_fast.runtime.threads import MOST_THREADS

# Arguments of every constructor that say how to open a model; the others become attributes.
_OPENING = ("devices", "precision", "cache_dir", "threads", "low_memory", "onnx_file", "peft_path")
_OF_THE_PROCESS = ("_opened", "_of_parent", "_opening", "_tokenizer")
_DEFAULT_LENGTH = 512
_LABELS_UNLESS_SAID = 2  # As transformers has it.
_A_QUERY = 16
"""Tokens."""
_warned_keywords: set[str] = set()


class Model(OfOneProcess):
    """Base of the public classes. A subclass's constructor hands its ``locals()`` to `_start`."""

    model_name_or_path: str
    use_fp16: bool
    trust_remote_code: bool
    batch_size: int
    query_instruction_format: str
    kwargs: dict[str, Any]
    _kind: str
    """``embedder``, ``m3`` or ``reranker``."""
    _family = "encoder"
    """``encoder``, ``decoder``, ``layerwise`` or ``lightweight``."""
    _known_keywords: type = ModelKeywords
    _config: SimpleNamespace | None = None
    _opened: Engine | None = None
    _of_parent: Engine | None = None
    on_fork: str
    _given: dict[str, Any]
    _tokenizer: Tokenizer | None = None
    _warned_length = False

    def _start(self, arguments: dict[str, Any]) -> None:
        """Keep a constructor's arguments as attributes, check them, and open the model."""
        opening = {name: arguments.get(name) for name in _OPENING}
        self._given = {name: value for name, value in opening.items() if name in arguments}
        self.__dict__.update({name: arguments[name] for name in arguments.keys() - {"self", "kwargs", *_OPENING}})
        self.model_name_or_path = str(self.model_name_or_path)
        one_of("on_fork", self.on_fork, ("reopen", "error"))
        self._set_keywords(arguments["kwargs"])
        self._check_options()
        self._engine_options = self._options_of(**opening)
        self._closed = False
        self._opening = Lock()
        self._open()
        self._check_limits()

    def _options_of(
        self,
        *,
        devices: Any,
        precision: str | None,
        cache_dir: Any,
        threads: int | None,
        low_memory: bool | None,
        onnx_file: Any,
        peft_path: Any,
    ) -> EngineOptions:
        """How to open the model, as plain values; the keyword ``device`` is an alias of ``devices``.

        Raises:
            TypeError, ValueError: names the argument and what it may be.
        """
        return EngineOptions(
            name=self.model_name_or_path,
            device=parse_devices(devices, self.kwargs.get("device")),
            computation=None if precision is None else one_of("precision", precision, COMPUTATIONS),
            prefer_fp16=flag("use_fp16", self.use_fp16),
            prefer_bf16=flag("use_bf16", getattr(self, "use_bf16", False)),
            threads=None if threads is None else whole_number("threads", threads, 1, at_most=MOST_THREADS),
            low_memory=flag("low_memory", low_memory),
            cache_dir=None if cache_dir is None else str(cache_dir),
            kind=self._kind,
            family=self._family,
            adapter=None if peft_path is None else str(peft_path),
            dense=flag("dense", getattr(self, "dense", False)),
            onnx_file=None if onnx_file is None else checked_graph_name(onnx_file),
            outputs=self._outputs_at_start(),
            waiting=self._waiting_options(),
            warm_up=flag("warmup", self.kwargs.get("warmup", False)),
        )

    def _waiting_options(self) -> Waiting:
        """What calls put up with when many come at once: from keywords of the constructor."""
        timeout, most = self.kwargs.get("timeout"), self.kwargs.get("max_queue")
        return Waiting(
            timeout=None if timeout is None else positive_number("timeout", timeout),
            max_queue=None if most is None else whole_number("max_queue", most, 0),
            deterministic=flag("deterministic", self.kwargs.get("deterministic", False)),
        )

    def _outputs_at_start(self) -> Outputs:
        """What the form of the graph that opens at once puts out."""
        raise NotImplementedError

    def _check_options(self) -> None:
        """See that attributes are what they may be, before anything is read."""
        raise NotImplementedError

    def _check_limits(self) -> None:
        """Compare attributes with what the opened model can do."""
        raise NotImplementedError

    def _open(self) -> Engine:
        opened = self._opened
        if opened is None or opened.forked:
            with self._opening.held():
                self._check_open()
                opened = self._opened_now()
                # A signal handler may have closed it meanwhile.
                self._check_open()
                self._opened = opened
        return opened

    def _opened_now(self) -> Engine:
        """The engine of this process: what another thread opened meanwhile, or a new one."""
        if self._opened is None:
            return Engine(self._engine_options)
        if not self._opened.forked:
            return self._opened
        if self.on_fork == "error":
            raise self._opened.forked_error()
        # What the parent opened is kept: its clean-up would wait for threads that are not here.
        self._of_parent, self._tokenizer = self._opened, None
        return self._opened.reopened()

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"{self!r} was closed")

    def with_options(self, **attributes: Any) -> Self:
        """The same opened model with other attributes, such as ``truncate_dim``; each is closed by itself.

        Raises:
            TypeError: a name that is no attribute of the model.
        """
        self._open()
        if unknown := next((name for name in attributes if name.startswith("_") or name not in self.__dict__), None):
            raise TypeError(f"{type(self).__name__} has no attribute {unknown!r:.80}")
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, **attributes)
        other._check_options()
        return other

    def info(self) -> ModelInfo:
        """Facts about the opened model: files, device, execution provider of the live session, library, limits."""
        return self._open().info()

    def stats(self) -> ModelStats:
        """What the model did since it was opened: calls, texts, tokens, texts that were cut, where the time went."""
        return stats_of(self._open().core)

    def count_tokens(self, texts: Texts) -> list[int]:
        """Return how many tokens each text has, special tokens included and none cut; without instructions.

        A text with more than ``info()["max_length"]``, or than a call's ``max_length``, is cut there.
        """
        return self.tokenizer.count_tokens(texts)

    def warmup(self, lengths: Iterable[int] | None = None) -> None:
        """Do now what first calls would wait for.

        Args:
            lengths: tokens of the texts that will come, such as ``(16, 512)``; one of each length is run, as the
                verbs do by default. ``None`` runs one short text. On CUDA runs of few texts are captured, of every
                size up to the longest of these lengths, by default up to the model's limit.
        """
        limit = self._open().files.max_length
        asked = [whole_number("lengths", length, 1, at_most=limit) for length in (() if lengths is None else lengths)]
        self._open().core.warm_up(max(asked, default=limit))
        for length in asked or [_A_QUERY]:
            self._run_once("a " * length, length)

    def _run_once(self, text: str, length: int) -> None:
        """Run a text of so many tokens."""
        raise NotImplementedError

    def close(self) -> None:
        """Release graph and weights. Calls that are running finish; later ones raise ``ValueError``."""
        with self._opening.held():
            self._closed = True
            self._opened = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def arguments(self) -> dict[str, object]:
        """Return what opens this model again beside its name: the constructor's arguments, to be kept in JSON or YAML.

        Attributes that were assigned since count as they are now. Where ``None`` is the default, it is left out.
        """
        return arguments_of(self, self._given)

    @property
    def target_devices(self) -> list[str]:
        """The devices in use."""
        return self._open().device.names

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer: ids of texts, texts of ids, and the special tokens."""
        engine = self._open()
        if self._tokenizer is None:
            self._tokenizer = Tokenizer(engine.core.tokenizer, engine.files.max_length, self.model_name_or_path)
        return self._tokenizer

    @property
    def model(self) -> Network:
        """Not a torch module: what of one is read, and what moves or casts it, which does nothing."""
        return Network(self._read_config(), self.target_devices[0])

    def _read_config(self) -> SimpleNamespace:
        """What ``config.json`` says, and of transformers' own what follows from it."""
        if self._config is None:
            config = self._open().files.config
            labels = config.get("id2label")
            number = len(labels) if isinstance(labels, dict) and labels else _LABELS_UNLESS_SAID
            named = {"num_labels": number, **config, "_name_or_path": self.model_name_or_path}
            self._config = SimpleNamespace(**named)
        return self._config

    @staticmethod
    def get_target_devices(devices: Devices) -> list[str]:
        """Return the devices that ``devices`` names, as strings; the CPU where the choice is left open."""
        return (parse_devices(devices) or CPU).counted().names

    @staticmethod
    def get_detailed_instruct(instruction_format: str, instruction: str, sentence: str) -> str:
        """Return the sentence with the instruction before it, by the format."""
        return with_instruction([sentence], instruction, instruction_format)[0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model_name_or_path!r})"

    # A model pickles as path and options; the copy opens its files at first use.
    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in _OF_THE_PROCESS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._opening = Lock()

    def _set_keywords(self, kwargs: dict[str, Any]) -> None:
        """Keep keywords of FlagEmbedding's other classes as attributes; name each unknown one once a process."""
        self.kwargs = kwargs
        for name, value in kwargs.items():
            if not hasattr(type(self), name):
                setattr(self, name, value)
        if new := [
            name for name in kwargs if name not in self._known_keywords.__annotations__ and name not in _warned_keywords
        ]:
            _warned_keywords.update(new)
            names = ", ".join(f"{name:.80}" for name in new)
            warn(f"{type(self).__name__} does not know {names}: accepted without effect")

    def _usable_length(self, name: str, length: int | None) -> int:
        """A length that the model can take; lowered to its limit with one warning an object."""
        limit = self._open().files.max_length
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
            raise ValueError(f"device={quoted(device)} is not one of this model's devices {self.target_devices}")
