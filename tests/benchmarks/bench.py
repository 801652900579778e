"""Times bge-fast beside what people use instead: `bench.py [measure …] [--quick] [--json FILE]`, or beside another build of
itself: `bench.py --beside ENVIRONMENT [measure …]`.

Competitors run in processes of their own and take turns within one run, so that load from elsewhere hits all alike:
trust the ratios more than the absolute figures. Standard output is Markdown.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

import cranfield
import machine
from fleet import OURS, ROOT, Entry, Fleet
from measures import (
    Plan,
    beside,
    bulk,
    colbert_memory,
    corpus,
    decoders,
    long,
    low_memory,
    m3,
    m3_lite,
    peers,
    profile,
    pruning,
    query,
    rerank,
    shapes,
    start,
    threads,
)
from report import Result, show, show_targets, table

MEASURES = {
    "start": start.measure,
    "peers": peers.measure,
    "query": query.measure,
    "threads": threads.measure,
    "corpus": corpus.measure,
    "bulk": bulk.measure,
    "low_memory": low_memory.measure,
    "pruning": pruning.measure,
    "long": long.measure,
    "m3": m3.measure,
    "m3_lite": m3_lite.measure,
    "rerank": rerank.measure,
    "shapes": shapes.measure,
    "decoders": decoders.measure,
    "colbert_memory": colbert_memory.measure,
}
# Each takes minutes, and up to 5 GB of disk, and says nothing new from day to day: only when asked for by name.
_ON_REQUEST = {"long", "m3", "m3_lite", "rerank", "shapes", "decoders", "colbert_memory"}
# Where another build is a row among others. `beside.MEASURES` are about the two builds alone.
_WITH_OTHER = ("peers", "threads", "shapes")
_MODEL = "bge-small-en-v1.5"
_FULL = {
    "peer_rounds": 3,
    "peer_queries": 150,
    "shape_rounds": 3,
    "decoder_layers": 4,
    "shape_layers": 24,
    "shape_texts": 16,
    "shape_pairs": 100,
    "query_rounds": 60,
    "bulk_rounds": 3,
    "bulk_texts": 256,
    "start_rounds": 9,
    "thread_rounds": 3,
    "pruning_rounds": 24,
    "calls_per_thread": 50,
    "long_layers": 24,
    "long_tokens": 8192,
    "long_compared": 2048,
    "m3_layers": 24,
    "m3_rounds": 3,
    "rerank_layers": 12,
    "rerank_rounds": 3,
    "colbert_texts": 1400,
}
_QUICK = {
    "peer_rounds": 1,
    "peer_queries": 8,
    "shape_rounds": 1,
    "decoder_layers": 1,
    "shape_layers": 2,
    "shape_texts": 4,
    "shape_pairs": 8,
    "query_rounds": 6,
    "bulk_rounds": 1,
    "bulk_texts": 48,
    "start_rounds": 3,
    "thread_rounds": 1,
    "pruning_rounds": 4,
    "calls_per_thread": 10,
    "long_layers": 2,
    "long_tokens": 2048,
    "long_compared": 512,
    "m3_layers": 2,
    "m3_rounds": 1,
    "rerank_layers": 2,
    "rerank_rounds": 1,
    "colbert_texts": 200,
}


def main() -> None:
    options = parse()
    plan = make_plan(options)
    facts = machine.describe()
    build = build_of_ours()
    results: list[Result] = []
    ours = options.ours or options.checkpoint
    logs = ROOT / "build" / "bench"
    with Fleet(options.exported, ours, options.checkpoint, logs, other=other_build(options.beside)) as fleet:
        for name in options.measures or default_measures(options):
            print(f"{name} …", file=sys.stderr, flush=True)
            if fleet.other and name in beside.MEASURES:
                results.append(beside.measure(name, fleet.other, fleet, plan))
            else:
                results.append(MEASURES[name](fleet, plan))
            print(show(results[-1]), end="\n\n", flush=True)
        if options.profile:
            results.append(profile.measure(fleet, plan))
            print(show(results[-1]), end="\n\n", flush=True)
        facts["load average at the end"] = machine.load_average()
        facts["bge-fast's core"] = build if build == build_of_ours() else "**rebuilt during the run: do not use**"
        for label, known in fleet.facts.items():
            facts[label] = ", ".join(f"{key} {value}" for key, value in known.items())
    print(show_targets(results), end="\n\n")
    print("### Measured on\n\n" + table(("", ""), facts.items()))
    if options.json:
        content = {"machine": facts, "results": [result.as_json() for result in results]}
        options.json.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def default_measures(options: argparse.Namespace) -> list[str]:
    """What runs where no measure is named: with `--profile` nothing else."""
    if options.profile:
        return []
    return list(beside.MEASURES) if options.beside else [name for name in MEASURES if name not in _ON_REQUEST]


def other_build(environment: Path | None) -> Entry | None:
    """The bge-fast that is installed there, by the environment's name."""
    if environment is None:
        return None
    label = f"bge-fast {environment.absolute().name.removeprefix('.venv-').replace('-', ' ')}"
    return Entry(label, OURS.competitor, str(environment.absolute()))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ", ".join(f"{name} (only on request)" if name in _ON_REQUEST else name for name in MEASURES)
    parser.add_argument("measures", nargs="*", choices=[*MEASURES, []], metavar="measure", help=names)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and texts: to see that all runs")
    parser.add_argument("--rounds", type=int, help="rounds of all measures alike")
    parser.add_argument(
        "--beside",
        type=Path,
        metavar="ENVIRONMENT",
        help=f"virtual environment with another build of bge-fast: {', '.join(beside.MEASURES)} of both alone, in the same "
        f"rounds; {', '.join(_WITH_OTHER)} with it as the row that the others are compared with",
    )
    parser.add_argument("--profile", action="store_true", help="also time by operator, of bge-fast in each precision")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--checkpoint", type=Path, default=ROOT.parent / "shared" / "data" / "models" / _MODEL)
    parser.add_argument(
        "--exported", type=Path, default=ROOT / "build" / "models" / _MODEL, help="made of it by Optimum"
    )
    parser.add_argument("--ours", type=Path, help="what bge-fast opens, if not the checkpoint")
    parser.add_argument("--cranfield", type=Path, default=cranfield.FOLDER)
    options = parser.parse_args()
    if not (options.checkpoint / "config.json").is_file():
        parser.error(
            f"there is no checkpoint in {options.checkpoint}; name a folder with {_MODEL}: --checkpoint FOLDER"
        )
    if options.beside:
        if not (options.beside / "bin" / "python").is_file():
            parser.error(f"--beside: {options.beside} is no virtual environment")
        takes = (*beside.MEASURES, *_WITH_OTHER)
        if others := set(options.measures) - set(takes):
            parser.error(f"--beside takes {', '.join(takes)}, not {', '.join(sorted(others))}")
    without_graph = set(options.measures) == {"decoders"}
    needs_graph = (not options.beside and not without_graph) or set(options.measures) & set(_WITH_OTHER)
    if needs_graph and not (options.exported / "onnx" / "model.onnx").is_file():
        parser.error(
            f"{options.exported} has no onnx/model.onnx: .venv-export/bin/bge-fast-export CHECKPOINT -o FOLDER"
        )
    return options


def build_of_ours() -> str:
    """Start of the sha256 of the compiled core in this checkout, which somebody may rebuild while this runs."""
    files = sorted((ROOT / "python" / "bge_fast").glob("_core*.so"))
    return ", ".join(f"sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:12]}" for file in files)


def make_plan(options: argparse.Namespace) -> Plan:
    amounts = dict(_QUICK if options.quick else _FULL)
    if options.rounds:
        amounts |= {name: options.rounds for name in amounts if name.endswith("_rounds")}
    return Plan(**amounts, cranfield=options.cranfield)


if __name__ == "__main__":
    main()
