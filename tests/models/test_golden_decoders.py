"""Ids, vectors and scores of decoder-only models against what FlagEmbedding 1.4.2 gave for the same checkpoints."""

import warnings
from typing import Any

import numpy as np
import pytest

import bge_fast
from bge_fast.models.prompts import with_instruction
from tests.parity import golden_decoders
from tests.support.checkpoints import checkpoint

GOLDEN = {name: golden_decoders.load(name) for name in golden_decoders.names()}
CASES = [(name, case) for name, recorded in GOLDEN.items() for case in recorded.cases]
PROMPTED = [case for case in CASES if GOLDEN[case[0]].cases[case[1]].call == "compute_score"]
AROUND = [case for case in CASES if case[0] == "decoder-mistral" and GOLDEN[case[0]].cases[case[1]].call != "encode"]
PLAIN = [case for case in CASES if case not in PROMPTED and case not in AROUND]
# FlagEmbedding's own fp32 is as far from fp64 on the longest pairs.
ATOL = {"compute_score": 1e-4}


def opened(name: str, case: golden_decoders.Case) -> Any:
    build = getattr(bge_fast, GOLDEN[name].opened_by)
    return build(str(checkpoint(name)), use_fp16=False, devices="cpu", **case.options)


def computed(model: Any, case: golden_decoders.Case, items: list[Any]) -> np.ndarray:
    """Of each item a row of numbers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*has no score after the layers")
        results = np.array(getattr(model, case.call)(items, **case.arguments))
    return results.reshape(-1, len(items)).T if case.call == "compute_score" else results


@pytest.mark.parametrize(("name", "case_name"), CASES)
def test_every_number_is_that_of_flagembedding(name, case_name):
    case = GOLDEN[name].cases[case_name]
    results = computed(opened(name, case), case, case.items)
    assert results.shape == case.results.shape
    assert np.abs(results - case.results).max() <= ATOL.get(case.call, 1e-5)


def test_all_classes_and_architectures_are_compared():
    classes = {recorded.opened_by for recorded in GOLDEN.values()}
    assert classes == {
        *("FlagLLMModel", "FlagICLModel", "FlagLLMReranker"),
        *("LayerWiseFlagLLMReranker", "LightWeightFlagLLMReranker"),
    }
    assert len(GOLDEN) == 8
    assert sum(len(case.items) for recorded in GOLDEN.values() for case in recorded.cases.values()) > 6000


@pytest.mark.parametrize(("name", "case_name"), PLAIN)
def test_ids_of_texts(name, case_name):
    case = GOLDEN[name].cases[case_name]
    model = opened(name, case)
    asked = case.arguments.get("max_length")
    if case.call == "encode_queries":
        texts, length = with_instruction(case.items, **model._query_options()), asked or model.query_max_length
    elif case.call == "encode_corpus":
        texts, length = with_instruction(case.items, **model._passage_options()), asked or model.passage_max_length
    else:
        texts, length = case.items, asked or model.passage_max_length
    ids = [model.tokenizer(text, truncation=True, max_length=length)["input_ids"] for text in texts]
    assert ids == case.ids


@pytest.mark.parametrize(("name", "case_name"), AROUND)
def test_ids_of_queries_with_examples_and_suffix(name, case_name):
    case = GOLDEN[name].cases[case_name]
    model = opened(name, case)
    tokenizer, length = model._open().core.tokenizer, case.arguments.get("max_length", model.query_max_length)
    texts = with_instruction(case.items, **model._query_options())
    assert [tokenizer.tokenize_around(text, (model.prefix, model.suffix), length) for text in texts] == case.ids


@pytest.mark.parametrize(("name", "case_name"), PROMPTED)
def test_ids_of_pairs_with_a_prompt(name, case_name):
    case = GOLDEN[name].cases[case_name]
    model = opened(name, case)
    limits = model._limits(None, case.arguments.get("query_max_length"), case.arguments.get("max_length"))
    lengths = limits["query_max_length"], limits["max_length"]
    prompt, start = model._prompt(case.arguments.get("prompt")), model._first_token()
    tokenizer, pairs = model._open().core.tokenizer, model.get_detailed_inputs(case.items)
    assert [tokenizer.tokenize_prompted(*pair, prompt, start, *lengths) for pair in pairs] == case.ids


@pytest.mark.parametrize("name", GOLDEN)
def test_company_changes_nothing(name):
    case = GOLDEN[name].cases["all"]
    model = opened(name, case)
    items = case.items[::9]
    together = computed(model, case, items)
    alone = np.concatenate([computed(model, case, [item]) for item in items])
    assert np.abs(together - alone).max() <= 1e-6
