"""Records what FlagEmbedding's runner finds on all of Cranfield, for tests that run without it: `make golden-evaluation`.

bge-small-en-v1.5 takes FlagEmbedding half an hour on two cores; with names of checkpoints as arguments only those are run.
"""

import json
import sys
import tempfile
from pathlib import Path

from FlagEmbedding.evaluation.custom import CustomEvalArgs, CustomEvalModelArgs, CustomEvalRunner

from tests.parity.checkpoints import MODELS, ROOT, find_checkpoint
from tests.parity.test_evaluation import RETRIEVAL, Collection

GOLDEN = ROOT / "tests" / "data" / "golden" / "evaluation"
# Name → reranker, and whether passages are titles alone: of a cut pair FlagEmbedding makes other ids (contract 6.3).
RUNS: dict[str, tuple[str | None, bool]] = {
    "tiny-bert": ("tiny-reranker-bert", True),
    "tiny-xlmr": (None, False),
    "bge-small-en-v1.5": (None, False),
}
KEPT = 20


def record(name: str) -> None:
    """Run one model as `python -m FlagEmbedding.evaluation.custom` does."""
    reranker, titles_alone = RUNS[name]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        data = collection(titles_alone).write(place / "data")
        arguments = CustomEvalArgs(
            eval_name="cranfield",
            dataset_dir=str(data),
            splits=["test"],
            output_dir=str(place / "results"),
            cache_path=str(place / "cache"),
            eval_output_path=str(place / "table" / "figures.md"),
        )
        models = CustomEvalModelArgs(
            embedder_name_or_path=str(find_checkpoint(name)),
            embedder_model_class="encoder-only-base",
            query_instruction_for_retrieval=RETRIEVAL,
            reranker_name_or_path=reranker and str(MODELS / reranker),
            reranker_model_class=reranker and "encoder-only-base",
            use_fp16=False,
            devices=["cpu"],
            embedder_batch_size=32,
            reranker_batch_size=128,
        )
        CustomEvalRunner(eval_args=arguments, model_args=models).run()
        GOLDEN.mkdir(exist_ok=True)
        found = {"table": (place / "table" / "figures.md").read_text(), "rankings": rankings(place / "results")}
        (GOLDEN / f"{name}.json").write_text(json.dumps(found, indent=0) + "\n")


def collection(titles_alone: bool) -> Collection:
    """Cranfield; of equal titles the first, since the order of equal scores is nobody's."""
    whole = Collection(titles_alone=titles_alone)
    if titles_alone:
        first = {passage["text"].strip(): key for key, passage in reversed(whole.corpus.items())}
        whole.corpus = {key: whole.corpus[key] for key in whole.corpus if key in first.values()}
        judged = {
            query: {key: grade for key, grade in grades.items() if key in whole.corpus}
            for query, grades in whole.judgements.items()
        }
        whole.judgements = {query: grades for query, grades in judged.items() if grades}
        whole.queries = {query: text for query, text in whole.queries.items() if query in whole.judgements}
    return whole


def rankings(results: Path) -> dict[str, object]:
    """Of each reranker the figures, and the first documents of each query."""
    found = {}
    for folder in sorted(path for path in results.glob("*/*") if path.is_dir()):
        run = json.loads((folder / "test.json").read_text())["search_results"]
        best = {query: dict(sorted(one.items(), key=lambda hit: -hit[1])[:KEPT]) for query, one in run.items()}
        found[folder.name] = {
            "figures": json.loads((folder / "EVAL" / "eval_results.json").read_text())["test"],
            "best": {query: {key: round(score, 7) for key, score in one.items()} for query, one in best.items()},
        }
    return found


if __name__ == "__main__":
    for wanted in sys.argv[1:] or RUNS:
        record(wanted)
