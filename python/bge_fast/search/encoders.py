"""What search asks of a model: dense vectors of queries and passages, and what decides which they are."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from bge_fast import BGEM3FlagModel

_DECIDING = (
    "model_name_or_path",
    "pooling_method",
    "normalize_embeddings",
    "passage_instruction_for_retrieval",
    "passage_instruction_format",
    "passage_max_length",
    "truncate_dim",
    "dense",
)


def dense_queries(model: Any, texts: Iterable[str], **options: Any) -> Any:
    """Vectors of queries, of BGE-M3 the dense ones."""
    return _dense(model.encode_queries, model, texts, options)


def dense_passages(model: Any, texts: Iterable[str], **options: Any) -> Any:
    """Vectors of passages, of BGE-M3 the dense ones."""
    return _dense(model.encode_corpus, model, texts, options)


def dense_texts(model: Any, texts: Iterable[str], **options: Any) -> Any:
    """Vectors of texts that are neither: without an instruction; of BGE-M3 the dense ones."""
    return _dense(model.encode, model, texts, options)


def texts_of(texts: Iterable[str], name: str = "texts") -> list[str]:
    """Texts as a list, which the model looks into.

    Raises:
        TypeError: one str, which is a sequence of its characters, or no iterable of texts.
    """
    if isinstance(texts, str):
        raise TypeError("one str was passed where a list of texts belongs; pass [text]")
    if isinstance(texts, bytes | Mapping) or not isinstance(texts, Iterable):
        raise TypeError(f"{name}: expected a list of str, got {type(texts).__name__}")
    return list(texts)


def made_by(model: Any) -> dict[str, Any]:
    """What decides which vectors a model gives for passages: its files as they are now, its precision and options."""
    info = model.info()
    stamps = [(str(file), Path(file).stat().st_size, Path(file).stat().st_mtime_ns) for file in info["files"]]
    options = {name: getattr(model, name) for name in _DECIDING if hasattr(model, name)}
    return {
        "class": type(model).__name__,
        **options,
        "precision": info["precision"],
        "files": [list(stamp) for stamp in stamps],
    }


def _dense(encode: Callable[..., Any], model: Any, texts: Iterable[str], options: dict[str, Any]) -> Any:
    if isinstance(model, BGEM3FlagModel):
        options = {**options, "return_dense": True, "return_sparse": False, "return_colbert_vecs": False}
    vectors = encode(texts_of(texts), **options)
    return vectors["dense_vecs"] if isinstance(vectors, dict) else vectors
