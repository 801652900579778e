"""One call of BGE-M3: options as they were when it began, and the pass that gives its vectors."""

from dataclasses import dataclass
from typing import Any

from bge_fast.models.progress import progress_bar
from bge_fast.models.results import ColbertBatch, SparseBatch
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

    def _ids_without_weight(self) -> list[int]:
        tokenizer = self.engine.core.tokenizer
        ids = (tokenizer.token_id(token) for role, token in tokenizer.special_tokens if role in _WITHOUT_WEIGHT)
        return [token for token in ids if token is not None]
