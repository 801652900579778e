"""Ray Data: a callable that an actor holds, batches of columns in and out. It needs no Ray to be imported or called."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_fast.errors import quoted
from bge_fast.integrations.opening import open_embedder, open_m3, open_reranker
from bge_fast.integrations.plain import scores_of
from bge_fast.search.encoders import dense_passages, dense_queries

Columns = Mapping[str, NDArray[Any]]
_OPENED_BY = {"dense": open_embedder, "m3": open_m3, "rerank": open_reranker}


class BGEBatch:
    """Encodes or scores the batches of ``dataset.map_batches``; see ``docs/ray.md``.

    A batch keeps its columns and gets further ones, named after ``output``:

    - ``kind="dense"``: ``output``, float32 ``(n, dim)``.
    - ``kind="m3"``: the same, and ``<output>_ids`` and ``<output>_weights`` with an array a text; with ``colbert`` also
      ``<output>_vectors`` with a matrix ``(tokens - 1, dim)`` a text.
    - ``kind="rerank"``: ``output``, float64 ``(n,)``.

    Args:
        model: a hub id or a folder, which each actor opens for itself, or an open model, which is pickled as its name.
        column: the column of texts; for ``kind="rerank"`` those of queries and of passages.
        kind: ``"dense"``, ``"m3"`` or ``"rerank"``.
        output: the new column; by default ``"embedding"``, or ``"score"`` for ``kind="rerank"``.
        query: texts are queries, not passages.
        colbert: of BGE-M3, multi-vectors too.
        missing: what happens to a row whose text is ``None``: ``"error"``, or ``"skip"``, which drops it.
        **arguments: of the model class, such as ``threads=``, ``devices=``, ``low_memory=``, and ``model_class=``.

    Raises:
        ValueError: an unknown ``kind`` or ``missing``.
        BGEFastError: the model does not open; see `bge_fast.errors`.
    """

    def __init__(
        self,
        model: Any,
        *,
        column: str | Sequence[str] = "text",
        kind: str = "dense",
        output: str | None = None,
        query: bool = False,
        colbert: bool = False,
        missing: str = "error",
        **arguments: Any,
    ) -> None:
        if kind not in _OPENED_BY:
            raise ValueError(f"kind={quoted(kind)} is not one of {', '.join(map(repr, _OPENED_BY))}")
        if missing not in ("error", "skip"):
            raise ValueError(f'missing={quoted(missing)} is not "error" or "skip"')
        self.columns = [column] if isinstance(column, str) else list(column)
        if len(self.columns) != (wanted := 2 if kind == "rerank" else 1):
            raise ValueError(f"kind={kind!r} takes {wanted} column(s) of texts, not {self.columns}")
        self.kind, self.query, self.colbert, self.missing = kind, query, colbert, missing
        self.output = output or ("score" if kind == "rerank" else "embedding")
        open_model: Any = _OPENED_BY[kind]
        self.model = open_model(model, **arguments)

    def __call__(self, batch: Columns) -> dict[str, Any]:
        """Return the columns with the new ones; nothing is written into ``batch``.

        Raises:
            KeyError: a column of texts is not there.
            ValueError: a text is missing; names its row of the batch.
        """
        kept = self._complete(batch)
        texts = [kept[name].tolist() for name in self.columns]
        if self.kind == "rerank":
            scores = scores_of(self.model, list(zip(*texts, strict=True)))
            return {**kept, self.output: np.array(scores, np.float64)}
        return {**kept, **(self._m3(texts[0]) if self.kind == "m3" else self._dense(texts[0]))}

    def _complete(self, batch: Columns) -> dict[str, Any]:
        """The batch without rows that lack a text."""
        for name in self.columns:
            if name not in batch:
                raise KeyError(f"the batch has no column {quoted(name)}, only {', '.join(map(repr, batch))}")
        there = np.ones(len(batch[self.columns[0]]), bool)
        for name in self.columns:
            there &= np.array([text is not None for text in batch[name].tolist()], bool)
        if there.all():
            return dict(batch)
        if self.missing == "error":
            row = int(np.flatnonzero(~there)[0])
            raise ValueError(f'row {row} of the batch has no text (None); fill it, or pass missing="skip"')
        return {name: np.asarray(values)[there] for name, values in batch.items()}

    def _dense(self, texts: list[str]) -> dict[str, Any]:
        encode = dense_queries if self.query else dense_passages
        return {self.output: encode(self.model, texts, show_progress_bar=False)}

    def _m3(self, texts: list[str]) -> dict[str, Any]:
        found = self.model.encode_vectors(texts, colbert=self.colbert, query=self.query, show_progress_bar=False)
        new = {
            self.output: found.dense,
            f"{self.output}_ids": _ragged([ids for ids, _ in found.sparse]),
            f"{self.output}_weights": _ragged([weights for _, weights in found.sparse]),
        }
        return {**new, f"{self.output}_vectors": _ragged(list(found.colbert))} if self.colbert else new


def _ragged(rows: list[Any]) -> NDArray[Any]:
    """An array of arrays, also where all are of one shape."""
    column = np.empty(len(rows), object)
    for place, row in enumerate(rows):
        column[place] = row
    return column
