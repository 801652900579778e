"""An opened model: files found, library loaded, graph on its device. What the public classes stand on."""

import os
import sys
import time
from dataclasses import dataclass, replace

from bge_fast import _core
from bge_fast.errors import DeviceError, ForkedProcessError, ModelFormatError, warn
from bge_fast.opening.adapter import Merged, adapter_for
from bge_fast.opening.architectures import graph_of
from bge_fast.opening.files import Facts, ModelFiles
from bge_fast.opening.hub import find_model
from bge_fast.opening.kinds import check_family, declares_reranker, no_reranker
from bge_fast.opening.projection import projection_of
from bge_fast.opening.room import check_room
from bge_fast.opening.specials import check_flags
from bge_fast.opening.state import FolderState
from bge_fast.runtime.devices import CPU, Device
from bge_fast.runtime.library import check_cuda, default_device, load_runtime, used_instructions
from bge_fast.runtime.threads import default_threads

Outputs = tuple[str, ...]
"""A set of a graph's outputs: ``cls``, ``mean``, ``last`` or ``hidden_states``, ``sparse``, ``colbert``, ``logits``."""
_HEAD_OF = {"sparse": "sparse_linear", "colbert": "colbert_linear"}
# What a checkpoint of a kind must have the tensors for.
_OUTPUTS_OF_KIND: dict[str, Outputs] = {
    "embedder": ("hidden_states",),
    "m3": ("hidden_states", "sparse", "colbert"),
    "reranker": ("logits",),
}


@dataclass(frozen=True)
class Waiting:
    """What calls put up with when many come at once."""

    timeout: float | None = None
    """Seconds that a call may take."""
    max_queue: int | None = None
    """Most calls that wait for a run."""
    deterministic: bool = False
    """Calls never share a batch."""


@dataclass(frozen=True)
class EngineOptions:
    """How a model is to be opened. Plain values, so that a model can be pickled as these."""

    name: str
    device: Device | None = None
    """``None``: the first CUDA device where the GPU library is installed and usable, else the CPU."""
    computation: str | None = None
    """Its precision; ``None``: by the device."""
    prefer_fp16: bool = False
    """Without ``computation``: take an fp16 graph where the device is CUDA and there is one."""
    prefer_bf16: bool = False
    """Without ``computation``: the same of decoders in bf16, which goes before fp16."""
    threads: int | None = None
    low_memory: bool = False
    """Leave weights as they are stored: less private memory, slower runs."""
    cache_dir: str | None = None
    kind: str = "embedder"
    """What the class is for: ``embedder``, ``m3`` or ``reranker``."""
    family: str = "encoder"
    """What the class is for: ``encoder``, ``decoder``, ``layerwise`` or ``lightweight``."""
    adapter: str | None = None
    """A folder with a LoRA adapter to merge into the weights."""
    dense: bool = False
    """Apply the linear layers that sentence-transformers has behind the pooling."""
    onnx_file: str | None = None
    """The graph that the caller chose."""
    outputs: Outputs = ("cls",)
    """Of the form of a checkpoint's graph that opens at once; others open when a call needs them."""
    waiting: Waiting = Waiting()
    warm_up: bool = False
    """On CUDA: capture the runs of queries when the model opens; of decoders run once."""

    def computations(self, device: Device) -> tuple[str, ...]:
        """Precisions of the computation that will do on ``device``, best first.

        Raises:
            ValueError: one that the device or the kind of model does not have.
        """
        if self.computation == "int4" and self.family == "encoder":
            raise ValueError('precision="int4" is for decoder-only models; encoders are small: use "int8" or "bf16"')
        on_cuda = ("fp16", "fp32") if self.family == "encoder" else ("fp16", "bf16", "fp32")
        if device.is_cuda and self.computation not in (None, *on_cuda):
            these = " or ".join(f'"{one}"' for one in on_cuda)
            raise ValueError(f'precision="{self.computation}" is for the CPU; on CUDA devices use {these}')
        if self.computation == "fp16" and device == CPU:
            raise ValueError('precision="fp16" is for CUDA devices; on the CPU leave precision out (fp32)')
        if self.computation is not None:
            return (self.computation,)
        if device.is_cuda and self.prefer_bf16:
            return ("bf16",) if "bf16" in on_cuda else ("fp32",)
        return ("fp16", "fp32") if device.is_cuda and self.prefer_fp16 else ("fp32",)


class ModelInfo(Facts):
    """What ``info()`` of an opened model says."""

    device: str
    execution_provider: str | None
    """The one that got most nodes of the graph."""
    nodes_by_provider: dict[str, int]
    threads: int
    low_memory: bool
    instructions: str | None
    """Those of the processor that our own kernels multiply with; ``None`` where only ONNX Runtime's run."""
    runtime_library: str
    runtime_version: str
    parity: dict[str, object] | None
    """Of a model folder: how far the graph was from torch when it was exported."""


class EmbedderInfo(ModelInfo):
    """What ``info()`` of an opened embedder says."""

    pooling_method: str


class Engine:
    """A model's core, ready to run, with the facts about it. Any number of threads may use one."""

    def __init__(self, options: EngineOptions) -> None:
        # The pid is compared before anything of a forked child waits for a thread that was not forked with it.
        self._process = os.getpid()
        self.options = options
        started = time.perf_counter()
        self.runtime = load_runtime()
        self.threads = _threads(options)
        self.device, self.files, self.core, self.heads = _open(options, self.threads)
        self.low_memory = options.low_memory
        self._state = FolderState.of(self.files.folder, [*self.files.paths.values(), *self.files.head_files.values()])
        modules, width = self.files.modules, self.files.dimension
        self.projection = projection_of(self.files.name, self.files.root, modules, width) if options.dense else None
        if options.warm_up:
            self.core.warm_up(self.files.max_length)
        self._log_opening(1000 * (time.perf_counter() - started))

    def _log_opening(self, milliseconds: float) -> None:
        # Who has not imported logging has no handler that could show it, and its import takes milliseconds.
        if logging := sys.modules.get("logging"):
            logging.getLogger("bge_fast").info(
                "opened %s (%s, %s) from %s on %s, threads: %d, in %.0f ms",
                self.files.name,
                self.files.kind,
                self.files.origin,
                ", ".join(self.files.paths),
                self.device,
                self.threads,
                milliseconds,
            )

    @property
    def forked(self) -> bool:
        """Whether this is a forked child of the process that opened the model: its threads are not here."""
        return os.getpid() != self._process

    def reopened(self) -> "Engine":
        """The same model, opened by this process.

        Raises:
            ForkedProcessError: the files are no longer those that the parent opened.
        """
        if changed := self._state.changed():
            raise ForkedProcessError(
                f"{self.files.name} was opened before this process was forked, and cannot be opened here again as it "
                f"was: {', '.join(changed)} changed since. Open the model anew"
            )
        return Engine(self.options)

    def forked_error(self) -> ForkedProcessError:
        """What a child is told that is not to open the model by itself."""
        return ForkedProcessError(
            f"{self.files.name} was opened before this process was forked, and ONNX Runtime's threads do not survive "
            'a fork. Open the model after it, start workers with the "spawn" or "forkserver" method, or leave '
            "on_fork out"
        )

    def _instructions(self) -> str | None:
        return used_instructions()[self.files.computation] if self.core.own_operators else None

    def info(self) -> ModelInfo:
        """Facts about what was opened, from the live session where it can tell."""
        providers = self.core.providers()
        return {
            **self.files.facts(),
            "dimension": self.projection.width if self.projection else self.files.dimension,
            "device": str(self.device),
            "execution_provider": max(providers, key=lambda part: part[1])[0] if providers else None,
            "nodes_by_provider": dict(providers),
            "threads": self.threads,
            "low_memory": self.low_memory,
            "instructions": self._instructions(),
            "runtime_library": str(self.runtime.path),
            "runtime_version": self.runtime.version,
            "parity": self.files.parity,
        }


def _open(options: EngineOptions, threads: int) -> tuple[Device, ModelFiles, _core.Model, dict[str, int]]:
    device = (options.device or default_device()).counted()
    try:
        return device, *_open_on(options, device, threads)
    except DeviceError as error:
        if options.device is not None or device == CPU:
            raise
        warn(f"onnxruntime-gpu is installed but cannot be used, so the CPU is: {error}", RuntimeWarning)
        return CPU, *_open_on(options, CPU, threads)


def _open_on(options: EngineOptions, device: Device, threads: int) -> tuple[ModelFiles, _core.Model, dict[str, int]]:
    computations = options.computations(device)
    for index in device.cuda:
        check_cuda(index)
    files = find_model(options.name, computations, options.cache_dir, kind=options.kind, onnx_file=options.onnx_file)
    check_family(files.name, files.kind, files.config, options.family)
    if options.adapter is not None:
        files = replace(files, adapter=adapter_for(options.adapter, files.name))
    if files.adapter is not None:
        files = replace(files, merged=Merged(files.adapter, list(files.paths.values())))
    checkpoint = checkpoint_of(files)
    if checkpoint is not None and files.computation == "fp16" and not checkpoint.narrows_on_cuda:
        files = _widened(files, options)
    check_room(files.name, files.sizes or {}, files.computation)
    heads = files.graph_heads if checkpoint is None else {one: checkpoint.head_width(one) for one in files.head_files}
    core = _core.Model(
        str(files.tokenizer or files.folder),
        checkpoint or next(str(path) for path in files.paths.values()),
        cuda=list(device.cuda),
        threads=threads,
        low_memory=options.low_memory,
        arithmetic="fp32" if checkpoint is None else files.computation,
        model_type=graph_of(files.architecture),
        pad_id=files.pad_id,
        dimension=files.dimension,
        outputs=list(_possible(options.outputs, heads)),
        timeout=options.waiting.timeout,
        max_queue=options.waiting.max_queue,
        # In a graph of whatever kind, such as one with scales for all of a batch, texts may depend on each other.
        deterministic=options.waiting.deterministic or options.onnx_file is not None,
    )
    if options.family == "decoder" and options.kind == "embedder":
        check_flags(files.name, files.folder, core)
    if files.state is not None:
        files.state.check(files.name)
    return files, core, heads


def _widened(files: ModelFiles, options: EngineOptions) -> ModelFiles:
    """The same in fp32, where nobody asked for fp16 by name.

    Raises:
        ValueError: somebody did.
    """
    if options.computation is not None:
        raise ValueError(f'{files.name}: {files.architecture} has no fp16 on CUDA; use precision="fp32"')
    return replace(files, computation="fp32")


def checkpoint_of(files: ModelFiles) -> _core.Checkpoint | None:
    """The weights of a checkpoint, mapped, with all tensors that its kind needs; ``None`` where a graph is opened.

    Raises:
        ModelFormatError: a weight file is damaged, or a tensor is missing or has another shape.
    """
    if files.sizes is None:
        return None
    try:
        checkpoint = _core.Checkpoint(
            [str(path) for path in files.paths.values()],
            files.sizes,
            names=list(files.paths),
            heads=[(layer, str(path)) for layer, path in files.head_files.items()],
            changed=str(files.merged.path) if files.merged else None,
            outputs=list(_OUTPUTS_OF_KIND[files.kind]),
        )
    except ModelFormatError as error:
        guessed = files.kind == "reranker" and not declares_reranker(files.name, files.config)
        if guessed and "without the tensor classifier" in str(error):
            raise no_reranker(files.name) from error
        raise
    if tensor := checkpoint.left_over():
        warn(
            f"{files.name}: num_hidden_layers of config.json is {files.sizes['num_hidden_layers']}, but the weights "
            f"go on with {tensor}: layers behind the last of config.json are not run"
        )
    return checkpoint


def _possible(outputs: Outputs, heads: dict[str, int]) -> Outputs:
    """Of these outputs the ones that the model can give: a missing head is an error of the call that wants it."""
    missing = {output for output, layer in _HEAD_OF.items() if layer not in heads}
    return tuple(output for output in outputs if output not in missing) or ("cls",)


def _threads(options: EngineOptions) -> int:
    return options.threads or default_threads()
