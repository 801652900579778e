"""How much of each model a mixture is made of, told by what the models make of a few examples."""

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_fast import FlagLLMModel, FlagModel
from bge_fast.errors import UnsupportedModelError, quoted
from bge_fast.merging.mixing import checked_names, mix_models
from bge_fast.merging.sources import Source, open_source
from bge_fast.opening.kinds import family_of

# Scores are divided by it, whatever the models were trained with.
_TEMPERATURE_OF_SCORES = 0.05
Batch = tuple[list[str], list[str]]
"""Queries, and passages: of each query its positive and then its negatives."""


def mix_models_with_data(
    model_names_or_paths: Sequence[str],
    model_type: str | None = None,
    example_data: Sequence[Mapping[str, Any]] = (),
    temperature: float = 5.0,
    batch_size: int = 2,
    max_input_length: int = 2048,
    neg_number: int = 7,
    output_path: str | Path | None = None,
    *,
    example_ata: Sequence[Mapping[str, Any]] = (),
    seed: int = 0,
    cache_dir: str | None = None,
) -> str:
    """Write a checkpoint that is a mixture of embedders, more of those that tell the examples' positives better.

    Args:
        model_names_or_paths: checkpoints of one architecture and vocabulary: folders or hub ids.
        model_type: accepted, without effect.
        example_data: each with ``query``, ``pos`` and ``neg``, as in training.
        temperature: the higher it is, the more alike are the weights.
        batch_size: queries whose passages are each other's negatives.
        max_input_length: most tokens of a text.
        neg_number: negatives of each query, drawn from its ``neg``.
        output_path: the folder to write, which must not exist or be empty.
        example_ata: what LM_Cocktail 0.0.4 calls ``example_data``.
        seed: of the draw.
        cache_dir: the hub's cache folder.

    Returns:
        ``output_path``.

    Raises:
        ValueError: an example that is incomplete; says which, and what it lacks.
        UnsupportedModelError: a model that is no embedder.
        ModelFormatError, FileExistsError: as `mix_models`.

    Source: ``LM_Cocktail.mix_models_with_data`` of LM_Cocktail 0.0.4.
    """
    names = checked_names(model_names_or_paths, model_type, output_path)
    weights = weights_by_data(
        names,
        example_data or example_ata,
        temperature=temperature,
        batch_size=batch_size,
        max_length=max_input_length,
        negatives=neg_number,
        seed=seed,
        cache_dir=cache_dir,
    )
    return mix_models(names, weights=weights, output_path=output_path, cache_dir=cache_dir)


def weights_by_data(
    names: Sequence[str],
    examples: Sequence[Mapping[str, Any]],
    *,
    temperature: float = 5.0,
    batch_size: int = 2,
    max_length: int = 2048,
    negatives: int = 7,
    seed: int = 0,
    cache_dir: str | None = None,
) -> list[float]:
    """The weights of `mix_models_with_data`."""
    batches = list(_batches(examples, batch_size, negatives, seed))
    sources = [open_source(name, cache_dir) for name in names]
    return weights_of([_loss(source, batches, max_length) for source in sources], temperature)


def weights_of(losses: Sequence[float], temperature: float) -> list[float]:
    """Weights that add up to 1, the larger the smaller a model's loss is."""
    if not temperature > 0:
        raise ValueError(f"temperature is {quoted(temperature)}; it must be above 0")
    scaled = -np.array(losses, dtype=np.float32) / np.float32(temperature)
    raised = np.exp(scaled - scaled.max())
    return [float(weight) for weight in raised / raised.sum()]


def _batches(examples: Sequence[Mapping[str, Any]], size: int, negatives: int, seed: int) -> Iterator[Batch]:
    """All models see the same draw."""
    if not examples:
        raise ValueError("there are no examples: give at least one with query, pos and neg")
    draw, queries, passages = random.Random(seed), list[str](), list[str]()
    for place, example in enumerate(examples):
        texts = [example.get("query"), *(example.get("pos") or [None])[:1], *(example.get("neg") or [])]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(
                f"example {place} is {quoted(dict(example))}: it needs query, pos and neg, which are texts"
            )
        if len(texts) - 2 < negatives:
            raise ValueError(f"example {place} has {len(texts) - 2} negatives, and {negatives} are drawn (neg_number)")
        queries.append(texts[0])
        passages += [texts[1], *draw.sample(texts[2:], negatives)]
        if len(queries) == size or place == len(examples) - 1:
            yield queries, passages
            queries, passages = [], []


def _loss(source: Source, batches: Sequence[Batch], max_length: int) -> float:
    """The mean of the batches' contrastive losses."""
    if source.files.kind == "reranker":
        raise UnsupportedModelError(f"{source.name} is a reranker, and examples weigh embedders alone: pass weights")
    # The default is longer than what most encoders take.
    max_length = min(max_length, source.files.max_length)
    opens = FlagLLMModel if family_of(source.files.config) == "decoder" else FlagModel
    with opens(source.name, devices="cpu", use_fp16=False) as model:
        losses = [
            _contrastive(model.encode(queries, max_length=max_length), model.encode(passages, max_length=max_length))
            for queries, passages in batches
        ]
    return float(np.mean(losses))


def _contrastive(queries: NDArray[np.float32], passages: NDArray[np.float32]) -> float:
    """Cross entropy of each query's own positive among all passages."""
    scores = (queries @ passages.T).astype(np.float64) / _TEMPERATURE_OF_SCORES
    group = len(passages) // len(queries)
    most = scores.max(axis=1, keepdims=True)
    total = np.log(np.exp(scores - most).sum(axis=1)) + most[:, 0]
    return float(np.mean(total - scores[np.arange(len(queries)), group * np.arange(len(queries))]))
