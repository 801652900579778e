"""An opened model: files found, library loaded, graph on its device. What the public classes stand on."""

import os
from dataclasses import dataclass
from typing import Any

from bge_fast import _core
from bge_fast.errors import DeviceError, ForkedProcessError, warn
from bge_fast.opening.hub import find_model
from bge_fast.opening.jsonfiles import read_json
from bge_fast.opening.source import Source, exported_heads
from bge_fast.runtime.devices import CPU, Device
from bge_fast.runtime.library import check_cuda, default_device, load_runtime

PRECISIONS = ("fp32", "fp16")


@dataclass(frozen=True)
class EngineOptions:
    """How a model is to be opened. Plain values, so that a model can be pickled as these."""

    name: str
    device: Device | None = None
    """``None``: the first CUDA device where the GPU library is installed and usable, else the CPU."""
    precision: str | None = None
    prefer_fp16: bool = False
    """Without ``precision``: take an fp16 graph where the device is CUDA and there is one."""
    threads: int | None = None
    low_memory: bool = False
    """Leave weights as they are stored: less private memory, slower runs."""
    cache_dir: str | None = None
    kind: str = "embedder"
    """What the class is for: ``embedder``, ``m3`` or ``reranker``."""
    first: str = "cls"
    """Outputs of the form of a checkpoint's graph to open first; others open when a call needs them."""

    def precisions(self, device: Device) -> tuple[str, ...]:
        """Precisions of graphs that will do on ``device``, best first.

        Raises:
            ValueError: fp16 on the CPU.
        """
        if self.precision == "fp16" and device == CPU:
            raise ValueError('precision="fp16" is for CUDA devices; on the CPU leave precision out (fp32)')
        if self.precision is not None:
            return (self.precision,)
        return ("fp16", "fp32") if device.cuda is not None and self.prefer_fp16 else ("fp32",)


class Engine:
    """A model's core, ready to run, with the facts about it. Any number of threads may use one."""

    def __init__(self, options: EngineOptions) -> None:
        # The pid is compared before anything of a forked child waits for a thread that was not forked with it.
        self._process = os.getpid()
        self.runtime = load_runtime()
        self.device, self.source, self.core, self.heads = _open(options)
        self.threads, self.low_memory = _threads(options), options.low_memory
        self.special_tokens = _special_tokens(self.source)

    def check_process(self) -> None:
        """Raise ``ForkedProcessError`` in a forked child of the process that opened the model."""
        if os.getpid() != self._process:
            raise ForkedProcessError(
                f"{self.source.name} was opened before this process was forked, and ONNX Runtime's threads do not "
                'survive a fork. Open the model after it, or start workers with the "spawn" or "forkserver" method'
            )

    def info(self) -> dict[str, Any]:
        """Facts about what was opened, from the live session where it can tell."""
        providers = self.core.providers()
        return {
            "checkpoint": self.source.name,
            "kind": self.source.kind,
            "architecture": self.source.architecture,
            "source": self.source.origin,
            "folder": str(self.source.folder),
            "commit": self.source.commit,
            "files": _paths(self.source),
            "precision": self.source.precision,
            "dimension": self.source.dimension,
            "max_length": self.source.max_length,
            "declared_pooling": self.source.declared_pooling,
            "device": str(self.device),
            "execution_provider": max(providers, key=lambda part: part[1])[0] if providers else None,
            "nodes_by_provider": dict(providers),
            "threads": self.threads,
            "low_memory": self.low_memory,
            "runtime_library": str(self.runtime.path),
            "runtime_version": self.runtime.version,
            "parity": _parity(self.source),
        }


def _open(options: EngineOptions) -> tuple[Device, Source, _core.Model, dict[str, int]]:
    device = options.device or default_device()
    try:
        return device, *_open_on(options, device)
    except DeviceError as error:
        if options.device is not None:
            raise
        warn(f"onnxruntime-gpu is installed but cannot be used, so the CPU is: {error}", RuntimeWarning)
        return CPU, *_open_on(options, CPU)


def _open_on(options: EngineOptions, device: Device) -> tuple[Source, _core.Model, dict[str, int]]:
    if device.cuda is not None:
        check_cuda(device.cuda)
    source = find_model(options.name, options.precisions(device), options.cache_dir, kind=options.kind)
    checkpoint = _checkpoint(source) if source.encoder else None
    heads = _heads(source, checkpoint)
    core = _core.Model(
        str(source.folder),
        checkpoint or _paths(source)[0],
        cuda=device.cuda,
        threads=_threads(options),
        low_memory=options.low_memory,
        model_type=source.architecture,
        pad_id=source.pad_id,
        dimension=source.dimension,
        outputs=_possible(options.first, heads).split("+"),
    )
    return source, core, heads


def _heads(source: Source, checkpoint: _core.Checkpoint | None) -> dict[str, int]:
    """M3's linear layers that there are, with their widths."""
    if checkpoint is None:
        return exported_heads(source)
    return {layer: checkpoint.head_width(layer) for layer in source.head_files}


def _possible(outputs: str, heads: dict[str, int]) -> str:
    """Of these outputs the ones that the model can give: a missing head is an error of the call that wants it."""
    missing = {output for output, layer in _HEAD_OF.items() if layer not in heads}
    return "+".join(output for output in outputs.split("+") if output not in missing) or "cls"


def _checkpoint(source: Source) -> _core.Checkpoint:
    return _core.Checkpoint(
        _paths(source),
        source.encoder or {},
        names=list(source.files),
        heads=[(layer, str(path)) for layer, path in source.head_files.items()],
        outputs=_OUTPUTS[source.kind].split("+"),
    )


_HEAD_OF = {"sparse": "sparse_linear", "colbert": "colbert_linear"}
# What a checkpoint of a kind must have the tensors for.
_OUTPUTS = {"embedder": "hidden_states", "m3": "hidden_states+sparse+colbert", "reranker": "logits"}


def _paths(source: Source) -> list[str]:
    return [str(file) for file in source.files.values()]


def _threads(options: EngineOptions) -> int:
    return options.threads or _core.available_threads()


def _special_tokens(source: Source) -> dict[str, str]:
    """Role → token, as ``tokenizer_config.json`` says, and before it ``special_tokens_map.json``."""
    tokens = {}
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        stored = read_json(source.folder / name) if (source.folder / name).is_file() else {}
        for role, value in stored.items():
            token = value.get("content") if isinstance(value, dict) else value
            if role.endswith("_token") and isinstance(token, str):
                tokens[role] = token
    return tokens


def _parity(source: Source) -> dict[str, Any] | None:
    graphs = source.manifest.get("graphs", {}).values()
    return next((graph.get("parity") for graph in graphs if graph.get("precision") == source.precision), None)
