"""The calls of FlagEmbedding's decoder classes whose results are recorded: which class opens which checkpoint, and how."""

from __future__ import annotations

from typing import NamedTuple

from tests.parity.cases import CaseCall, ScoreCall, query, select_pairs, select_texts
from tests.parity.golden import load_texts

INSTRUCTION = "Given a question, retrieve passages that answer it."
PARTS = "<instruct>{}\n<query>{}"
EXAMPLES = [
    {"instruct": INSTRUCTION, "query": "what lifts a wing", "response": "Pressure is lower above it.\nSo it rises."},
    {"query": "热边界层是什么", "response": " a layer of warm air "},
    {},
]
# Texts that only these tokenizers trip over, beside those of `tests/data/texts.json`.
MORE_TEXTS = {
    "typed-instruct": "<instruct>Given this\n<query>what? <response> that",
    "typed-ends": "one</s> two<eos>three <bos>four<s> five<|endoftext|>six <|im_end|> <tool_call>seven",
    "typed-bytes": "<0x0A> <0xE7> and <unk><pad>",
    "line-feeds": "one\n\ntwo\n\n\n three \n\n\n\n\n\n\nfour\n",
    "typed-word-starts": "▁one▁▁two ▁ three▁▁▁▁▁▁▁ four",
    "runs-of-spaces": "one  two   three     four          five",
    "tags": "<table><td>one</td></table> <h1>two</h1>",
    "bytes-of-one": "热",
    "bytes-of-many": "热边界层" * 40,
    "bytes-within": "the 热边界层 of a 👩‍👩‍👧‍👦 plate ☃ in air",
    "carriage": "one\r\ntwo\rthree\t\t four",
    "digits": "12345 67,890.12 ٣٤ 1st",
    "capitals": "YES Yes yes 'S We'LL",
}
ODD_LABELS = frozenset([*MORE_TEXTS, "empty", "space", "newlines", "many-spaces", "prose-21-words", "leading-space"])


class Recorded(NamedTuple):
    """What is recorded of one checkpoint: FlagEmbedding's class for it and its calls."""

    opened_by: str
    cases: tuple[CaseCall, ...] | tuple[ScoreCall, ...]
    layers: bool = False
    """Runs on transformers 4.46 alone."""


PLAIN = (
    CaseCall("all", {}, texts="all"),
    CaseCall("raw-8", {"normalize_embeddings": False, "truncate_dim": 8}),
    CaseCall("9999", {"truncate_dim": 9999}, texts="odd"),
    CaseCall("length-16", {}, arguments={"max_length": 16}),
    CaseCall("length-2", {}, arguments={"max_length": 2}),
    CaseCall("passage-length-20", {"passage_max_length": 20}, "encode_corpus"),
    CaseCall(
        "passage-instruction",
        {"passage_instruction_for_retrieval": "passage", "passage_instruction_format": "{}: {}"},
        "encode_corpus",
        texts="odd",
    ),
    query("query", INSTRUCTION, PARTS),
    query("query-newline", INSTRUCTION, "Instruct: {}\\nQuery:{}"),
    query("query-length-44", INSTRUCTION, "Instruct: {}\nQuery: {}", query_max_length=44),
    CaseCall("query-without", {}, "encode_queries", texts="odd"),
)


def icl(name: str, texts: str = "some", arguments: dict[str, int] | None = None, **options: object) -> CaseCall:
    """A call of FlagICLModel's `encode_queries`."""
    return CaseCall(name, options, "encode_queries", arguments or {}, texts)


INSTRUCTED = {"query_instruction_for_retrieval": INSTRUCTION}
IN_CONTEXT = (
    *PLAIN[:2],
    icl("bare", texts="all"),
    icl("instructed", **INSTRUCTED),
    icl("examples", **INSTRUCTED, examples_for_task=EXAMPLES),
    icl("examples-bare", texts="odd", examples_for_task=EXAMPLES),
    icl("examples-none", texts="odd", examples_for_task=[]),
    icl("examples-newline", texts="odd", examples_for_task=EXAMPLES, examples_instruction_format="{}\\n{}\\n{}"),
    icl("suffix", texts="odd", suffix="\\n<response> so:", **INSTRUCTED),
    icl("suffix-empty", texts="odd", suffix=""),
    *(icl(f"length-{length}", texts="odd", arguments={"max_length": length}) for length in (5, 6, 7, 8, 9, 13, 18)),
    icl("length-40", texts="odd", arguments={"max_length": 40}, **INSTRUCTED),
    icl("length-64", query_max_length=64, examples_for_task=EXAMPLES, **INSTRUCTED),
)
SCORES = (
    ScoreCall("all", pairs="most"),
    ScoreCall("normalize", {"normalize": True}),
    ScoreCall("length-64", arguments={"max_length": 64}),
    ScoreCall("length-10", {"max_length": 10}, pairs="odd"),
    ScoreCall("length-1", arguments={"max_length": 1}, pairs="odd"),
    ScoreCall("length-0", arguments={"max_length": 0}, pairs="odd"),
    ScoreCall("query-length-4", {"query_max_length": 4}, pairs="odd"),
    ScoreCall("query-length-0", arguments={"query_max_length": 0}, pairs="odd"),
    ScoreCall("query-length-2000", arguments={"query_max_length": 2000, "max_length": 32}),
    ScoreCall("prompt", arguments={"prompt": "Is B about A?"}, pairs="odd"),
    ScoreCall("prompt-empty", {"prompt": ""}, pairs="odd"),
    ScoreCall("bare", {"query_instruction_for_rerank": None, "passage_instruction_for_rerank": None, "max_length": 40}),
    ScoreCall(
        "instructions",
        {
            "query_instruction_for_rerank": "Question",
            "query_instruction_format": "{}: {}",
            "passage_instruction_for_rerank": "",
            "passage_instruction_format": "{}[{}]\\n",
        },
        pairs="odd",
    ),
)


def cutoffs(*layers: list[int] | int) -> tuple[ScoreCall, ...]:
    """Calls that stop at these layers."""
    named = (("-".join(map(str, one)) if isinstance(one, list) else str(one), one) for one in layers)
    return tuple(ScoreCall(f"cutoff-{name}", arguments={"cutoff_layers": one}, pairs="odd") for name, one in named)


def compressed(name: str, **arguments: object) -> ScoreCall:
    """A call of the lightweight reranker that compresses."""
    return ScoreCall(f"compressed-{name}", arguments=arguments, pairs="odd")


COMPRESSED = (
    ScoreCall("compressed", {"compress_ratio": 2, "compress_layers": [3]}),
    compressed("3-at-1", compress_ratio=3, compress_layers=[1]),
    compressed("4-at-2-4", compress_ratio=4, compress_layers=[4, 2], cutoff_layers=[2, 4, 6]),
    compressed("to-one", compress_ratio=1000, compress_layers=[2]),
    compressed("at-cutoff", compress_ratio=2, compress_layers=[4], cutoff_layers=[4]),
    compressed("nowhere", compress_ratio=2, compress_layers=[0, 99]),
    compressed("cut", compress_ratio=2, compress_layers=[2], max_length=24),
)
RECORDED: dict[str, Recorded] = {
    "decoder-mistral": Recorded("FlagICLModel", IN_CONTEXT),
    "decoder-qwen2": Recorded("FlagLLMModel", PLAIN),
    "decoder-qwen3": Recorded("FlagLLMModel", PLAIN),
    "decoder-gemma2": Recorded("FlagLLMModel", PLAIN),
    "decoder-reranker-gemma": Recorded("FlagLLMReranker", SCORES),
    "decoder-reranker-llama": Recorded("FlagLLMReranker", SCORES),
    "decoder-layerwise": Recorded(
        "LayerWiseFlagLLMReranker", (*SCORES, *cutoffs(2, [3], [2, 6], [2, 3, 4, 5, 6], [1, 5, 9])), layers=True
    ),
    "decoder-lightweight": Recorded(
        "LightWeightFlagLLMReranker",
        (*SCORES, *cutoffs(2, [4], [6, 2], [2, 4, 6], [3, 4, 99]), *COMPRESSED),
        layers=True,
    ),
}


def texts_by_label() -> dict[str, str]:
    """All texts."""
    return {**load_texts(), **MORE_TEXTS}


def chosen_texts() -> dict[str, list[str]]:
    """Selections of texts by label."""
    labels = list(load_texts())
    selected = select_texts(labels)
    odd = [label for label in (*labels, *MORE_TEXTS) if label in ODD_LABELS]
    return {"all": [*labels, *MORE_TEXTS], "some": [*selected["some"], *MORE_TEXTS], "odd": odd}


def chosen_pairs() -> dict[str, list[tuple[str, str]]]:
    """Selections of pairs by label."""
    selected = select_pairs(list(load_texts()))
    more = list(MORE_TEXTS)
    odd = [*zip(more, more[1:] + more[:1], strict=True), *zip(["empty", "prose-21-words"] * 9, more, strict=False)]
    odd += [("empty", "empty"), ("prose-21-words", "prose-120-words"), ("prose-55-words", "empty")]
    return {"most": selected["most"] + odd, "some": selected["some"] + odd, "odd": odd}
