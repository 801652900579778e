"""The prefixes of llm-embedder's tasks: on both sides, once."""

import numpy as np
import pytest

from bge_fast import LLM_EMBEDDER_TASKS, FlagModel


@pytest.mark.parametrize("task", LLM_EMBEDDER_TASKS)
def test_each_side_gets_its_prefix(tiny_bert, bert, task):
    model, prefixes = FlagModel(str(tiny_bert), **LLM_EMBEDDER_TASKS[task]), LLM_EMBEDDER_TASKS[task]
    for encode, prefix in (
        (model.encode_queries, prefixes["query_instruction_for_retrieval"]),
        (model.encode_corpus, prefixes["passage_instruction_for_retrieval"]),
    ):
        assert prefix.endswith(": ")
        assert np.array_equal(encode("a wing"), bert.encode(f"{prefix}a wing"))


def test_there_are_six_tasks_of_different_prefixes():
    prefixes = [text for prefixes in LLM_EMBEDDER_TASKS.values() for text in prefixes.values()]
    assert len(set(prefixes)) == 12
