"""The model that ``bench`` measures, and what one call of it is."""

import time
from argparse import Namespace
from typing import Any

from bge_fast.commands.defaults import locate, open_embedder, open_reranker
from bge_fast.commands.measures import texts_of
from bge_fast.commands.memory import private_megabytes

_QUERY = "heat transfer in slip flow"


class Subject:
    """An embedder or a reranker, opened by its first call.

    Args:
        threads: of the CPU; ``None`` for all that may be used.
    """

    def __init__(self, args: Namespace, threads: int | None) -> None:
        given = Namespace(**{**vars(args), "threads": threads})
        self._reranks = locate(args.model, args.device, args.precision).kind == "reranker"
        self._before, started = private_megabytes(), time.perf_counter()
        self.model: Any = open_reranker(given, use_fp16=True) if self._reranks else open_embedder(given)
        self.one("wing")
        self.seconds_to_open = time.perf_counter() - started

    @property
    def unit(self) -> str:
        """What is computed."""
        return "pairs" if self._reranks else "texts"

    def private_megabytes(self) -> float:
        """Memory that was taken since before it was opened."""
        return private_megabytes() - self._before

    def tokens(self, text: str) -> int:
        """Tokens that are run for a text, special ones included; of a reranker with those of the query."""
        return self._count(text) + (self._count(_QUERY) if self._reranks else 0)

    def texts(self, tokens: int) -> list[str]:
        """Different texts with which so many tokens are run."""
        return texts_of(tokens, self.tokens)

    def one(self, text: str) -> None:
        """Compute one text, as a query; a reranker one pair."""
        if self._reranks:
            self.model.compute_score((_QUERY, text))
        else:
            self.model.encode_queries(text)

    def many(self, texts: list[str]) -> None:
        """Compute many, as passages."""
        if self._reranks:
            self.model.compute_score([(_QUERY, text) for text in texts], show_progress_bar=False)
        else:
            self.model.encode_corpus(texts, show_progress_bar=False)

    def _count(self, text: str) -> int:
        return len(self.model.tokenizer(text)["input_ids"])
