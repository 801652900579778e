"""The export from checkpoint to model folder, stage by stage."""

import errno
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bge_fast_export.checkpoint import Checkpoint, open_checkpoint
from bge_fast_export.encoder import Architecture
from bge_fast_export.errors import CheckpointError, OutputError, UnsupportedCheckpointError
from bge_fast_export.folder import check_output, check_replaceable, replacing
from bge_fast_export.graph import DEFAULT_OPSET, export_graph, read_signature
from bge_fast_export.heads import HEAD_FILES, missing_heads
from bge_fast_export.kinds import AUTO, M3_WITHOUT_HEADS, Kind, kind_of
from bge_fast_export.manifest import Graph, write_manifest
from bge_fast_export.model import load_model
from bge_fast_export.precision import write_fp16
from bge_fast_export.quiet import silenced
from bge_fast_export.side_files import TOKENIZER, copy_side_files, side_bytes
from bge_fast_export.verify import Reference, reference, verify

GRAPH_NAMES = {"fp32": "onnx/model.onnx", "fp16": "onnx/model_fp16.onnx"}
PRECISIONS = tuple(GRAPH_NAMES)

# Graph structure, tokenizer conversion and file system overhead, beyond weights and side files.
SPACE_MARGIN = 32 << 20
EXTERNAL_DATA_FROM = 2e9

Report = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What the user asked for."""

    checkpoint: str
    output: Path
    precisions: tuple[str, ...] = PRECISIONS
    kind: str = AUTO
    revision: str | None = None
    max_length: int | None = None
    opset: int = DEFAULT_OPSET
    overwrite: bool = False
    verbose: bool = False


def export(options: Options, report: Report) -> Path:
    """Write the model folder that `options` describes; `report` gets a line per stage.

    Raises:
        ExportError: the checkpoint, the output folder or the result is not as it must be.
            Nothing was left behind.

    """
    target = options.output.expanduser().resolve()
    check_output(target, options.overwrite)
    report(f"Reading {options.checkpoint}")
    checkpoint = open_checkpoint(options.checkpoint, options.revision)
    kind = kind_of(options.kind, checkpoint.source.checkpoint, checkpoint.folder, checkpoint.encoder)
    if kind is M3_WITHOUT_HEADS:
        report(_without_heads(checkpoint.folder))
    max_length = _max_length(checkpoint, options.max_length)
    options = replace(options, precisions=_precisions(checkpoint.encoder.architecture, options.precisions, report))
    check_replaceable(target, checkpoint.folder)
    _check_space(target, checkpoint, options.precisions)
    try:
        with replacing(
            target,
            overwrite=options.overwrite,
            on_wait=lambda: report(f"Waiting for another export to {target}"),
        ) as folder:
            _fill(folder, checkpoint, kind, max_length, options, report)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(f"No space is left for {target}. Nothing was left behind.") from error
        raise
    return target


def _fill(folder: Path, checkpoint: Checkpoint, kind: Kind, max_length: int, options: Options, report: Report) -> None:
    encoder = checkpoint.encoder
    with silenced(not options.verbose):
        copy_side_files(checkpoint.folder, folder)
        report("Loading the weights")
        model = load_model(checkpoint.folder, encoder, kind)
        expected = reference(model, kind, encoder, folder / TOKENIZER, max_length)
        report(f"Exporting the fp32 graph (opset {options.opset})")
        fp32_path = folder / GRAPH_NAMES["fp32"]
        export_graph(model, encoder, kind, fp32_path, options.opset)
        del model
        # Also when only fp16 is asked for: what fp16 is made of must be right.
        graphs = {GRAPH_NAMES["fp32"]: _verified(folder, "fp32", expected, report)}
        if "fp16" in options.precisions:
            report("Fusing and converting the fp16 graph")
            write_fp16(fp32_path, folder / GRAPH_NAMES["fp16"], encoder)
            graphs[GRAPH_NAMES["fp16"]] = _verified(folder, "fp16", expected, report)
        if "fp32" not in options.precisions:
            _remove_graph(fp32_path)
            del graphs[GRAPH_NAMES["fp32"]]
        report("Writing the manifest")
        write_manifest(folder, checkpoint, kind, max_length, graphs)


def _verified(folder: Path, precision: str, expected: Reference, report: Report) -> Graph:
    name = GRAPH_NAMES[precision]
    report(f"Verifying {name}")
    widths = {output: rows.shape[1] for output, rows in expected.rows.items()}
    signature = read_signature(folder / name, expected.kind, widths)
    parity = verify(folder / name, precision, expected)
    for output, found in parity.outputs.items():
        cosine = "" if found.min_cosine is None else f", min cosine {found.min_cosine:.7f}"
        report(f"  {output}: max difference {found.max_abs:.2g}{cosine}")
    return Graph(precision, signature, parity)


def _without_heads(folder: Path) -> str:
    missing = missing_heads(folder)
    others = [name for name in HEAD_FILES.values() if name not in missing]
    used = f"; {others[0]} is left out, heads are used only where both are there" if others else ""
    return f"Dense vectors only: {' and '.join(missing)} not found{used}"


def _precisions(architecture: Architecture, wanted: tuple[str, ...], report: Report) -> tuple[str, ...]:
    """Leave out fp16 where the attention cannot be fused, which keeps masks in range."""
    if architecture.fuses or "fp16" not in wanted:
        return wanted
    why = f'there is no fp16 graph of the architecture "{architecture.name}"'
    if wanted == ("fp16",):
        raise UnsupportedCheckpointError(f"{why[0].upper()}{why[1:]}; fp32 works: --precision fp32.")
    report(f"fp32 only: {why}")
    return tuple(name for name in wanted if name != "fp16")


def _max_length(checkpoint: Checkpoint, wanted: int | None) -> int:
    limit = checkpoint.encoder.max_length
    if wanted is not None and wanted > limit:
        raise CheckpointError(f"--max-length {wanted} is more than the {limit} tokens that the checkpoint takes.")
    return wanted or limit


def _check_space(target: Path, checkpoint: Checkpoint, precisions: tuple[str, ...]) -> None:
    fp32 = 4 * checkpoint.encoder.parameters
    # Above 2 GB Optimum writes the weights twice: one file per tensor, then all in one.
    needed = side_bytes(checkpoint.folder) + SPACE_MARGIN + (2 * fp32 if fp32 > EXTERNAL_DATA_FROM else fp32)
    if "fp16" in precisions:
        needed += fp32 // 2
    existing = next(path for path in (target, *target.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise OutputError(f"Not enough space for {target}: {needed / 1e9:.2f} GB needed, {free / 1e9:.2f} GB free.")


def _remove_graph(path: Path) -> None:
    path.unlink()
    path.with_name(f"{path.name}_data").unlink(missing_ok=True)
