"""A model's files as they lie on disk, read and checked: what is opened, and what they say about the model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from bge_fast.errors import ModelFormatError, ModelNotFoundError, UnsupportedModelError, quoted
from bge_fast.opening.adapter import Adapter, Merged
from bge_fast.opening.architectures import architecture_of
from bge_fast.opening.checkpoint import graph_sizes, real_files
from bge_fast.opening.choice import INDEXES, MANIFEST, OWN, WEIGHTS, Choice, chosen, graphs_of
from bge_fast.opening.jsonfiles import read_json, whole_number_of
from bge_fast.opening.kinds import HEAD_FILES, check_kind, head_outputs, kind_of
from bge_fast.opening.manifest import check_sizes, read_manifest
from bge_fast.opening.modules import Module, modules_of, transformer_folder
from bge_fast.opening.state import FolderState

_NAMED = 8


class Facts(TypedDict):
    """What a model's files say about it, under the names that users see."""

    checkpoint: str
    """The name or path that it was opened by."""
    kind: str
    architecture: str
    source: str
    folder: str
    commit: str | None
    files: list[str]
    precision: str
    dimension: int
    max_length: int
    declared_pooling: str | None


@dataclass(frozen=True)
class ModelFiles:
    """One model: the files to open and the facts that go with them."""

    name: str
    """What the user called it: a path or a hub id."""
    origin: str
    """``checkpoint``; ``model folder`` with a manifest; or ``onnx`` for somebody's plain graph."""
    kind: str
    """``embedder``, ``m3`` or ``reranker``."""
    folder: Path
    paths: dict[str, Path]
    """The graph, or the weight files of a checkpoint: the name in the folder, and where each really lies."""
    computation: str
    """``fp32`` or ``fp16``: what runs, whatever the tensors are stored in."""
    architecture: str
    """``model_type`` of the configuration: a row of `ARCHITECTURES`."""
    dimension: int
    max_length: int
    """Most tokens of one text, special tokens included."""
    pad_id: int
    declared_pooling: str | None
    """What the checkpoint's ``1_Pooling/config.json`` says."""
    config: dict[str, Any] = field(repr=False)
    sizes: dict[str, Any] | None = None
    """Of a checkpoint: what its graph follows from."""
    head_files: dict[str, Path] = field(default_factory=dict)
    """Of an M3 checkpoint: the file of each head, by its layer's name."""
    graph_heads: dict[str, int] = field(default_factory=dict)
    """Of a model folder: the heads that the graph has, by layer, with their widths."""
    parity: dict[str, Any] | None = None
    """Of a model folder: how far the graph was from torch when it was exported."""
    manifest: dict[str, Any] = field(repr=False, default_factory=dict)
    commit: str | None = None
    adapter: Adapter | None = None
    """A LoRA adapter that changes the weights."""
    tokenizer: Path | None = None
    """Where the tokenizer lies, where that is not ``folder``: what an adapter was trained with lies beside it."""
    merged: Merged | None = field(default=None, repr=False)
    """What it makes of them, once the model is open."""
    root: Path = Path()
    """Where ``modules.json`` lies; of folders of old, above ``folder``."""
    modules: tuple[Module, ...] = ()
    """The steps of sentence-transformers, where the folder says them."""
    state: FolderState | None = field(repr=False, default=None)
    """Of the folder before anything of it was read."""

    def facts(self) -> Facts:
        """What users are told about them."""
        return {
            "checkpoint": self.name,
            "kind": self.kind,
            "architecture": self.architecture,
            "source": self.origin,
            "folder": str(self.folder),
            "commit": self.commit,
            "files": [str(path) for path in self.paths.values()] + ([str(self.adapter.file)] if self.adapter else []),
            "precision": self.computation,
            "dimension": self.dimension,
            "max_length": self.max_length,
            "declared_pooling": self.declared_pooling,
        }


def files_of_folder(
    name: str,
    folder: Path,
    computations: Sequence[str],
    commit: str | None = None,
    wanted: str | None = None,
    onnx_file: str | None = None,
    listed: Sequence[str] = (),
) -> ModelFiles:
    """Read a folder: a model folder with its manifest, else a checkpoint, else one that only has ``onnx/model.onnx``.

    Args:
        computations: precisions of the computation that will do, best first.
        commit: of a snapshot in the hub's cache.
        wanted: what it is to be opened as: ``embedder``, ``m3`` or ``reranker``; ``None`` for any.
        onnx_file: the graph that the caller chose.
        listed: graphs of a repository, for the message where nothing can be opened.

    Raises:
        ModelNotFoundError: a file is missing, or there is no graph of these precisions; says how to get one.
        ModelFormatError: files contradict each other or the manifest.
        UnsupportedModelError: an architecture that has no row.
    """
    root, folder = folder, transformer_folder(name, folder)
    state = FolderState.of(folder)
    if not (folder / "config.json").is_file():
        raise ModelNotFoundError(f"{name} has no config.json, so it is neither a model folder nor a checkpoint")
    config = read_json(folder / "config.json")
    architecture = architecture_of(name, config)
    manifest = read_manifest(name, folder)
    check_sizes(name, folder, manifest)
    kind = kind_of(name, folder, config, manifest, wanted)
    if wanted:
        check_kind(name, kind, wanted, config)
    choice = chosen(folder, manifest, computations, onnx_file)
    if choice is None:
        raise _nothing_to_open(name, folder, manifest, computations, [*graphs_of(folder), *listed], onnx_file)
    # A snapshot's files are links into its repository's blobs.
    inside = root.parent.parent if commit is not None else None
    usable, checkpoint = architecture.max_length(name, config), choice.origin == "checkpoint"
    return ModelFiles(
        name=name,
        origin=choice.origin,
        kind=kind,
        folder=folder,
        paths=_paths(name, folder, choice, inside),
        computation=choice.computation,
        architecture=architecture.model_type,
        dimension=architecture.size(config, "hidden_size"),
        max_length=min(usable, whole_number_of(manifest, "max_length", usable, at_least=1, file=MANIFEST)),
        pad_id=architecture.padding(config),
        declared_pooling=_declared_pooling(root),
        config=config,
        sizes=graph_sizes(name, config) if checkpoint else None,
        head_files=_head_files(name, folder, inside) if checkpoint and kind == "m3" else {},
        graph_heads=head_outputs(choice.graph),
        parity=choice.graph.get("parity"),
        manifest=manifest,
        commit=commit or manifest.get("source", {}).get("commit"),
        root=root,
        modules=tuple(modules_of(name, root)),
        state=state,
    )


def export_command(name: str, *options: str) -> str:
    """The command that makes a model folder of a checkpoint."""
    target = Path(name.rstrip("/\\")).name + "-onnx"
    return " ".join(["bge-fast-export", name, "-o", target, *options])


def _nothing_to_open(
    name: str,
    folder: Path,
    manifest: dict[str, Any],
    computations: Sequence[str],
    graphs: list[str],
    onnx_file: str | None,
) -> Exception:
    graphs = sorted(set(graphs))
    if onnx_file is not None:
        there = f"it has {_some(graphs)}" if graphs else "it has no graph at all"
        return ModelNotFoundError(f"{name} has no graph {quoted(onnx_file)}; {there}")
    own = set(OWN) & set(computations)
    if own and (manifest or graphs):
        checkpoint = manifest.get("source", {}).get("checkpoint") or "the checkpoint that it was exported from"
        return ModelNotFoundError(
            f"{name} is an exported graph, which runs as it is; {computations[0]} is computed from a checkpoint. "
            f"Open {checkpoint} instead"
        )
    if not manifest and (own or "fp32" in computations or not graphs):
        if (folder / "adapter_config.json").is_file():
            return UnsupportedModelError(f"{name} is an adapter (adapter_config.json): merge it into its model first")
        others = f". It has other graphs: {_some(graphs)}. Choose one with onnx_file={graphs[0]!r}" if graphs else ""
        return ModelNotFoundError(
            f"{name} has neither weights ({', '.join((*WEIGHTS, *INDEXES))}) nor a graph (onnx/model.onnx){others}"
        )
    checkpoint = str(manifest.get("source", {}).get("checkpoint") or name)
    command = export_command(checkpoint, "--precision", ",".join(sorted({*computations, "fp32"})))
    return ModelNotFoundError(
        f"{name} has no {' or '.join(computations)} graph. Export one from its checkpoint with: {command}   "
        "(pip install bge-fast-export, in an environment of its own)"
    )


def _some(names: list[str]) -> str:
    return ", ".join(f"{one:.80}" for one in names[:_NAMED]) + (" and others" if names[_NAMED:] else "")


def _paths(name: str, folder: Path, choice: Choice, inside: Path | None) -> dict[str, Path]:
    """Where the chosen files really lie: ONNX Runtime refuses weights that are reached through a link."""
    paths = real_files(name, folder, choice.files, inside)
    if choice.data and (folder / choice.data).exists():
        graph = choice.files[0]
        if paths[graph].name != Path(graph).name:
            raise ModelFormatError(
                f"{name} keeps its weights beside the graph ({Path(choice.data).name}), which ONNX Runtime does not "
                f"read through the hub cache's links. Open it as a folder: hf download {name} --local-dir "
                f"{Path(name).name}"
            )
    return paths


def _head_files(name: str, folder: Path, inside: Path | None) -> dict[str, Path]:
    real = real_files(name, folder, tuple(HEAD_FILES.values()), inside)
    return {layer: real[file] for layer, file in HEAD_FILES.items()}


def _declared_pooling(folder: Path) -> str | None:
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return None
    stored = read_json(path)
    if isinstance(mode := stored.get("pooling_mode"), str):  # as sentence-transformers writes it from 5.7 on
        modes = [mode]
    else:
        modes = [key for key, on in stored.items() if key.startswith("pooling_mode_") and on is True]
    modes = [mode.removeprefix("pooling_mode_") for mode in modes]
    names = {"cls_token": "cls", "mean_tokens": "mean", "lasttoken": "last_token"}
    return "+".join(names.get(mode, mode) for mode in modes) or None
