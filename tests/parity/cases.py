"""The calls whose results are recorded: constructor options, method, arguments, and on which texts or pairs."""

from __future__ import annotations

from typing import Any, NamedTuple

RETRIEVAL = "Represent this sentence for searching relevant passages: "
LENGTHS = (0, 1, 2, 3, 8, 64)
SOME_LABELS = frozenset(
    [
        *("empty", "space", "nul", "one-ideograph", "both-ends", "many-spaces", "newlines"),
        *("typed-sep", "typed-pad-angle", "typed-mask-spaces", "braces-and-percent", "backslash-n"),
        *("emoji-joined", "decomposed", "letter-10000", "mask-600", "near-limit-511", "near-limit-513"),
    ]
)
SOME_EVERY = 9
LEFT_OUT_EVERY = 5


class CaseCall(NamedTuple):
    """One call of FlagModel; `texts` names a selection."""

    name: str
    options: dict[str, Any]
    call: str = "encode"
    arguments: dict[str, Any] = {}  # noqa: RUF012 - read only
    texts: str = "some"


def query(name: str, instruction: str, template: str = "{}{}", **options: Any) -> CaseCall:
    """A call of encode_queries with an instruction."""
    instructed = {"query_instruction_for_retrieval": instruction, "query_instruction_format": template}
    return CaseCall(name, {**instructed, **options}, "encode_queries")


TINY_CASES = (
    CaseCall("cls", {}, texts="all"),
    CaseCall("mean", {"pooling_method": "mean"}, texts="all"),
    CaseCall("cls-raw", {"normalize_embeddings": False}),
    CaseCall("mean-raw", {"pooling_method": "mean", "normalize_embeddings": False}),
    CaseCall("cls-8", {"truncate_dim": 8}),
    CaseCall("cls-8-raw", {"truncate_dim": 8, "normalize_embeddings": False}),
    CaseCall("mean-8", {"pooling_method": "mean", "truncate_dim": 8}),
    CaseCall("cls-9999", {"truncate_dim": 9999}),
    CaseCall("cls-length-16", {}, arguments={"max_length": 16}),
    CaseCall("cls-length-2", {}, arguments={"max_length": 2}),
    CaseCall("passage-length-20", {"passage_max_length": 20}, "encode_corpus"),
    query("query", RETRIEVAL),
    query("query-mean", RETRIEVAL, pooling_method="mean"),
    query("query-newline", "Find the passage", "Instruct: {}\\nQuery: {}"),
    query("query-empty", "", "[{}] {}"),
    query("query-length-12", RETRIEVAL, query_max_length=12),
    CaseCall(
        "passage-instruction",
        {"passage_instruction_for_retrieval": "passage", "passage_instruction_format": "{}: {}"},
        "encode_corpus",
    ),
    CaseCall("plain-despite-instruction", {"query_instruction_for_retrieval": RETRIEVAL}),
)
RELATIVES = ("roberta", "camembert", "distilbert", "electra", "mpnet")
RELATIVE_CASES = (
    CaseCall("cls", {}, texts="most"),
    CaseCall("mean", {"pooling_method": "mean"}),
    CaseCall("cls-8-raw", {"truncate_dim": 8, "normalize_embeddings": False}),
    CaseCall("cls-length-16", {}, arguments={"max_length": 16}),
    query("query", RETRIEVAL),
)
CLS_CASES = (CaseCall("cls", {}, texts="most"), query("query", RETRIEVAL))
CHINESE_CASES = (CaseCall("cls", {}, texts="most"), query("query", "为这个句子生成表示以用于检索相关文章："))
MEAN_CASES = (CaseCall("mean", {"pooling_method": "mean"}, texts="most"),)

CASES: dict[str, tuple[CaseCall, ...]] = {
    "tiny-bert": TINY_CASES,
    "tiny-xlmr": TINY_CASES,
    **{f"tiny-{name}": RELATIVE_CASES for name in RELATIVES},
    "bge-small-en-v1.5": CLS_CASES,
    "bge-small-zh-v1.5": CHINESE_CASES,
    "all-MiniLM-L6-v2": MEAN_CASES,
}


def select_texts(labels: list[str]) -> dict[str, list[str]]:
    """The selections of texts.

    `some` holds every ninth and those that a short length or an instruction may trip over.
    `most` leaves out every fifth other text, which keeps the files of the larger models small.
    """
    chosen = [index % SOME_EVERY == 0 or label in SOME_LABELS for index, label in enumerate(labels)]
    return {
        "all": labels,
        "most": [label for i, label in enumerate(labels) if chosen[i] or i % LEFT_OUT_EVERY != 0],
        "some": [label for i, label in enumerate(labels) if chosen[i]],
    }


# ── BGE-M3 ────────────────────────────────────────────────────────────────────────────────────────────────────────────

M3_NAMES = ("tiny-m3", "tiny-m3-bert")
M3_CASES = (
    CaseCall("all", {}, texts="all"),
    CaseCall("raw", {"normalize_embeddings": False}),
    CaseCall("mean", {"pooling_method": "mean"}),
    CaseCall("last-token", {"pooling_method": "last_token"}),
    CaseCall("last-token-raw", {"pooling_method": "last_token", "normalize_embeddings": False}),
    CaseCall("8", {"truncate_dim": 8}),
    CaseCall("8-raw", {"truncate_dim": 8, "normalize_embeddings": False}),
    CaseCall("9999", {"truncate_dim": 9999}),
    CaseCall("length-16", {}, arguments={"max_length": 16}),
    CaseCall("length-2", {}, arguments={"max_length": 2}),
    query("query", RETRIEVAL),
    query("query-newline", "Find the passage", "Instruct: {}\\nQuery: {}"),
    query("query-length-12", RETRIEVAL, query_max_length=12),
    CaseCall("passage-length-20", {"passage_max_length": 20}, "encode_corpus"),
    CaseCall(
        "passage-instruction",
        {"passage_instruction_for_retrieval": "passage", "passage_instruction_format": "{}: {}"},
        "encode_corpus",
    ),
)


class ScoreCall(NamedTuple):
    """One call of compute_score; `pairs` names a selection."""

    name: str
    options: dict[str, Any] = {}  # noqa: RUF012 - read only
    arguments: dict[str, Any] = {}  # noqa: RUF012 - read only
    pairs: str = "some"


M3_SCORE_CASES = (
    ScoreCall("all", pairs="most"),
    ScoreCall("weights", arguments={"weights_for_different_modes": [0.4, 0.2, 0.4]}),
    ScoreCall("lengths", arguments={"max_query_length": 8, "max_passage_length": 24}),
    ScoreCall("raw", {"normalize_embeddings": False}),
    ScoreCall("mean-8", {"pooling_method": "mean", "truncate_dim": 8}),
    ScoreCall("despite-instruction", {"query_instruction_for_retrieval": RETRIEVAL, "query_max_length": 12}),
)


# ── rerankers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

SCORE_CASES = (
    ScoreCall("all", pairs="all"),
    ScoreCall("normalize", arguments={"normalize": True}),
    ScoreCall("normalize-always", {"normalize": True}),
    ScoreCall("length-64", arguments={"max_length": 64}),
    ScoreCall("length-10", {"max_length": 10}, pairs="all"),
    ScoreCall("length-5", arguments={"max_length": 5}),
    ScoreCall("length-0", arguments={"max_length": 0}),
    ScoreCall("query-length-4", {"query_max_length": 4}),
    ScoreCall("query-length-0", arguments={"query_max_length": 0}),
    ScoreCall("query-length-9999", arguments={"query_max_length": 9999, "max_length": 32}),
    ScoreCall(
        "both-instructions",
        {
            "query_instruction_for_rerank": "Given a query",
            "query_instruction_format": "{}: {}",
            "passage_instruction_for_rerank": "passage",
            "passage_instruction_format": "{}\\n{}",
        },
    ),
    ScoreCall("query-instruction", {"query_instruction_for_rerank": RETRIEVAL}),
    ScoreCall("passage-instruction", {"passage_instruction_for_rerank": "", "passage_instruction_format": "[{}] {}"}),
)

RERANKER_CASES: dict[str, tuple[ScoreCall, ...]] = {
    "tiny-reranker": SCORE_CASES,
    "tiny-reranker-bert": SCORE_CASES,
    **{
        f"tiny-reranker-{name}": tuple(call for call in SCORE_CASES if call.name in ("all", "normalize", "length-10"))
        for name in RELATIVES
    },
}

LONG_LABELS = ("letter-10000", "ideograph-10000", "mask-600", "dot-10000", "prose-650-words", "joined-19")
SHORT_LABELS = ("empty", "space", "nul", "one-lower", "typed-sep", "typed-end", "typed-pad-angle", "prose-4-words")
NEXT, FIRST = 7, 3


def select_pairs(labels: list[str]) -> dict[str, list[tuple[str, str]]]:
    """The selections of pairs: each text with a distant one, then short and long texts with each other.

    `most` holds every fifth of the latter, and `some` also only every ninth of the former.
    """
    spread = [(label, labels[(index * NEXT + FIRST) % len(labels)]) for index, label in enumerate(labels)]
    special = (*SHORT_LABELS, *LONG_LABELS)
    crossed = [(one, other) for one in special for other in special]
    few = crossed[::LEFT_OUT_EVERY]
    return {"all": spread + crossed, "most": spread + few, "some": spread[::SOME_EVERY] + few}
