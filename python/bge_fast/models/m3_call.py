"""One call of BGE-M3: options as they were when it began, and the pass that gives its vectors."""

from dataclasses import dataclass
from itertools import chain
from types import SimpleNamespace
from typing import Any

from bge_fast.models.progress import progress_bar
from bge_fast.models.results import ColbertBatch, SparseBatch
from bge_fast.models.shapes import Array
from bge_fast.models.streams import blocks_of, check_out, fill
from bge_fast.opening.engine import Engine

# Tokens that get no lexical weight, as far as the tokenizer has them.
_WITHOUT_WEIGHT = ("cls_token", "eos_token", "pad_token", "unk_token")


@dataclass(frozen=True)
class M3Call:
    """A running call keeps its engine and options: it finishes when the model is closed or changed meanwhile."""

    engine: Engine
    options: dict[str, Any]

    def encode(
        self, texts: list[str], modes: tuple[bool, bool, bool], show_progress_bar: bool | None, joined: bool = False
    ) -> tuple[Any, Any, Any, int]:
        """Dense matrix, `SparseBatch`, multi-vectors, ``None`` for those not asked for; how many texts were cut.

        Multi-vectors are a list or, ``joined``, a `ColbertBatch`.
        """
        dense, sparse, colbert = modes
        with progress_bar(len(texts), show_progress_bar) as progress:
            matrix, weights, vectors, truncated = self.engine.core.encode_m3(
                texts,
                **self.options,
                dense=dense,
                sparse=self._ids_without_weight() if sparse else None,
                colbert=None if not colbert else "joined" if joined else "separate",
                progress=progress,
            )
        batch = None if weights is None else SparseBatch.of(*weights, dim=self.engine.core.tokenizer.vocabulary_size)
        if not isinstance(vectors, tuple):
            return matrix, batch, vectors, truncated
        width = self.engine.heads["colbert_linear"]
        return matrix, batch, ColbertBatch.of(*vectors, min(width, self.options["truncate_dim"] or width)), truncated

    def encode_into(
        self, out: Array, texts: list[str], modes: tuple[bool, bool, bool], show: bool | None, joined: bool
    ) -> tuple[Array, Any, Any, int]:
        """As `encode`, a block at a time: dense vectors are written into an array of the caller's."""
        if not modes[0]:
            raise ValueError("out takes dense vectors, and they were not asked for")
        width = self.engine.files.dimension
        check_out(out, len(texts), min(width, self.options["truncate_dim"] or width))
        # Of no texts there is no block; the empty results of the other kinds come from a plain call.
        parts, written = [] if texts else [self.encode([], modes, False, joined)], SimpleNamespace(done=0)
        with progress_bar(len(texts), show, written):
            for part in blocks_of(lambda block: self.encode(block, modes, False, joined), texts):
                written.done = fill(out, written.done, part[0])
                parts.append((None, *part[1:]))
        _, weights, vectors, truncated = zip(*parts, strict=True)
        of_tokens = None if not modes[2] else ColbertBatch.concat(vectors) if joined else [*chain(*vectors)]
        batch = SparseBatch.concat(weights) if modes[1] else None
        return out, batch, of_tokens, sum(truncated)

    def _ids_without_weight(self) -> list[int]:
        tokenizer = self.engine.core.tokenizer
        ids = (tokenizer.token_id(token) for role, token in tokenizer.special_tokens if role in _WITHOUT_WEIGHT)
        return [token for token in ids if token is not None]
