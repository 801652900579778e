"""The calls of embedders that requests make: which verb, which options, which errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bge_fast.server.aside import aside
from bge_fast.server.refusals import Refusal

_QUERY, _PASSAGE = ("query", "search_query"), ("passage", "document", "search_document", "corpus")


def is_query(name: str | None, parameter: str) -> bool:
    """Whether a ``prompt_name`` or ``input_type`` stands for queries; without one texts are passages.

    Raises:
        Refusal: an unknown one.
    """
    if name is None or name in _PASSAGE:
        return False
    if name in _QUERY:
        return True
    raise Refusal(422, f"{parameter} is {name!r:.80}; known are 'query' and 'passage'", parameter=parameter)


def adapted(model: Any, *, dimensions: int | None, normalize: bool | None = None, truncate: bool | None = None) -> Any:
    """The model as a request wants it: components, length of vectors, what happens to long texts.

    Raises:
        Refusal: more dimensions than the model has.
    """
    options: dict[str, Any] = {}
    if dimensions is not None:
        if dimensions > (width := width_of(model)):
            reason = f"dimensions is {dimensions}, but vectors of this model have {width}"
            raise Refusal(422, reason, parameter="dimensions")
        options["truncate_dim"] = dimensions
    if normalize is not None:
        options["normalize_embeddings"] = normalize
    if truncate is not None:
        options["on_truncate"] = "ignore" if truncate else "error"
    changed = {name: value for name, value in options.items() if getattr(model, name) != value}
    return model.with_options(**changed) if changed else model


def width_of(model: Any) -> int:
    """Numbers of one of the model's vectors."""
    width = int(model.info()["dimension"])
    return min(width, model.truncate_dim or width)


@contextmanager
def refusing_long(truncate: bool | None) -> Iterator[None]:
    """Around a call: a text that the model refuses to cut is too large.

    Raises:
        Refusal: 413; names the text.
    """
    try:
        yield
    except ValueError as error:
        if truncate is not False:
            raise
        # The model goes on with advice for who called it in Python.
        reason = str(error).partition(". ")[0]
        raise Refusal(413, f"{reason}; send truncate: true to have it cut", parameter="inputs") from error


async def vectors(model: Any, texts: list[str], *, query: bool, m3: bool) -> Any:
    """One vector a text, float32 ``(n, dim)``."""
    if m3:
        found = await model.aencode_vectors(texts, sparse=False, query=query, show_progress_bar=False)
        return found.dense
    encode = model.aencode_queries if query else model.aencode_corpus
    return await encode(texts, convert_to_numpy=True, show_progress_bar=False)


async def in_full(model: Any, pairs: list[tuple[str, str]], name: str) -> None:
    """See that no pair would be cut by a reranker.

    Raises:
        Refusal: one would be; names it.
    """
    limit = min(model.max_length, model.tokenizer.model_max_length)
    characters = sum(len(query) + len(text) for query, text in pairs)
    counts = await aside(characters, lambda: [len(ids) for ids in model.tokenizer(pairs)["input_ids"]])
    for place, count in enumerate(counts):
        if count > limit:
            reason = f"{name}[{place}] and the query have {count} tokens, more than the {limit} of this model"
            raise Refusal(413, f"{reason}; send truncate: true to have them cut", parameter=name)
