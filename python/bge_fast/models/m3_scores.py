"""Scores of pairs by BGE-M3's three kinds of vectors."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, Unpack, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bge_fast.errors import NumericsError, quoted
from bge_fast.models.inputs import to_pairs
from bge_fast.models.keywords import Calling, refuse_unknown_keywords
from bge_fast.models.m3_call import M3Call
from bge_fast.models.m3_vectors import M3Encoder
from bge_fast.models.progress import progress_bar
from bge_fast.models.results import lexical_score, maxsim
from bge_fast.models.shapes import M3PairScores, M3PairScoresOfOne, Pair, Pairs, Scores

_MODES = ("colbert", "sparse", "dense", "sparse+dense", "colbert+sparse+dense")
# Pairs scored at once: their multi-vectors are in memory together.
_PAIRS_AT_ONCE = 128


class M3Scores(M3Encoder):
    """Scores of pairs: by all three kinds of vectors, or of vectors that are at hand."""

    @overload
    def compute_score(
        self,
        sentence_pairs: Pair,
        batch_size: int | None = ...,
        max_query_length: int | None = ...,
        max_passage_length: int | None = ...,
        weights_for_different_modes: Sequence[float] | None = ...,
        **kwargs: Unpack[Calling],
    ) -> M3PairScoresOfOne: ...
    @overload
    def compute_score(
        self,
        sentence_pairs: Pairs,
        batch_size: int | None = ...,
        max_query_length: int | None = ...,
        max_passage_length: int | None = ...,
        weights_for_different_modes: Sequence[float] | None = ...,
        **kwargs: Unpack[Calling],
    ) -> M3PairScores: ...
    def compute_score(
        self,
        sentence_pairs: Pair | Pairs,
        batch_size: int | None = None,
        max_query_length: int | None = None,
        max_passage_length: int | None = None,
        weights_for_different_modes: Sequence[float] | None = None,
        *,
        show_progress_bar: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Score pairs of a query and a passage in five ways, without instructions and without ``truncate_dim``.

        Args:
            sentence_pairs: one pair, any iterable of pairs, or a table of two columns, which is read by rows.
            weights_for_different_modes: of dense, sparse and colbert, in this order; by default 1 each.

        Returns:
            A dict with lists of ``float`` under ``colbert``, ``sparse``, ``dense``, ``sparse+dense`` and
            ``colbert+sparse+dense``; with one ``float`` each for one bare pair; ``[]`` for no pair.
        """
        refuse_unknown_keywords("compute_score", kwargs)
        weights = _mode_weights(weights_for_different_modes)
        pairs, single = to_pairs(sentence_pairs)
        self._check_heads(sparse=True, colbert=True)
        if not pairs:
            return []
        lengths = self._pair_lengths(max_query_length, max_passage_length)
        sides = [
            _Side(name, partial(_everything, self._call(batch_size, length, truncate_dim=None)))
            for name, length in zip(("query", "passage"), lengths, strict=True)
        ]
        scores: dict[str, list[float]] = {mode: [] for mode in _MODES}
        progress = SimpleNamespace(done=0)
        with progress_bar(len(pairs), show_progress_bar, progress):
            for start in range(0, len(pairs), _PAIRS_AT_ONCE):
                window = pairs[start : start + _PAIRS_AT_ONCE]
                both = [side.take(texts, start) for side, texts in zip(sides, zip(*window, strict=True), strict=True)]
                for query, passage in zip(*both, strict=True):
                    for mode, score in _scores(query, passage, weights).items():
                        scores[mode].append(score)
                progress.done = len(scores["dense"])
        for side, length in zip(sides, lengths, strict=True):
            self._warn_about_truncation(side.truncated, side.texts, length)
        return {mode: values[0] for mode, values in scores.items()} if single else scores

    def compute_score_single_device(
        self,
        sentence_pairs: Pair | Pairs,
        batch_size: int = 256,
        max_query_length: int = 512,
        max_passage_length: int = 512,
        weights_for_different_modes: Sequence[float] | None = None,
        device: str | None = None,
        **kwargs: Unpack[Calling],
    ) -> M3PairScores | M3PairScoresOfOne:
        """Score on the model's device; ``device`` may name it. Otherwise as `compute_score`."""
        self._check_device(device)
        return self.compute_score(
            sentence_pairs, batch_size, max_query_length, max_passage_length, weights_for_different_modes, **kwargs
        )

    def compute_score_multi_process(
        self, sentence_pairs: Pair | Pairs, pool: object, **kwargs: Any
    ) -> M3PairScores | M3PairScoresOfOne:
        """Score in this process, whatever ``pool`` is; results and keywords of `compute_score_single_device`."""
        return self.compute_score_single_device(sentence_pairs, **kwargs)

    @overload
    def convert_id_to_token(self, lexical_weights: Mapping[str, float]) -> dict[str, float]: ...
    @overload
    def convert_id_to_token(
        self, lexical_weights: Iterable[Mapping[str, float]]
    ) -> dict[str, float] | list[dict[str, float]]: ...
    def convert_id_to_token(self, lexical_weights: Any) -> Any:
        """Replace the ids of lexical weights by the text of each id; ids with the same text collide."""
        _, tables = _weight_tables("lexical_weights", lexical_weights)
        decode = self.tokenizer.decode
        named = [{decode([_token_id(token)]): weight for token, weight in table.items()} for table in tables]
        # FlagEmbedding gives a dict for a list of one.
        return named[0] if len(named) == 1 else named

    @overload
    def compute_lexical_matching_score(
        self, lexical_weights_1: Mapping[str, float], lexical_weights_2: Mapping[str, float]
    ) -> float: ...
    @overload
    def compute_lexical_matching_score(
        self, lexical_weights_1: Iterable[Mapping[str, float]], lexical_weights_2: Iterable[Mapping[str, float]]
    ) -> Scores: ...
    def compute_lexical_matching_score(self, lexical_weights_1: Any, lexical_weights_2: Any) -> Any:
        """Sum the products of shared ids' weights: a ``float`` for two dicts, ``(n, m)`` float64 for two lists."""
        single, ones = _weight_tables("lexical_weights_1", lexical_weights_1)
        other_single, others = _weight_tables("lexical_weights_2", lexical_weights_2)
        if single and other_single:
            return _dict_score(ones[0], others[0])
        if single or other_single:
            raise ValueError("compute_lexical_matching_score takes two dicts or two lists of dicts, not one of each")
        rows = [[_dict_score(one, other) for other in others] for one in ones]
        return np.array(rows, np.float64).reshape(len(ones), len(others))

    def colbert_score(self, q_reps: ArrayLike, p_reps: ArrayLike) -> np.float32:
        """Mean over the query's vectors of the largest dot product with a passage's vector."""
        return maxsim(np.asarray(q_reps, np.float32), np.asarray(p_reps, np.float32))

    def _pair_lengths(self, of_query: int | None, of_passage: int | None) -> tuple[int, int]:
        usable = self._usable_length
        passage = usable("passage_max_length", self.passage_max_length)
        query = passage if self.query_max_length is None else usable("query_max_length", self.query_max_length)
        return (
            query if of_query is None else usable("max_query_length", of_query),
            passage if of_passage is None else usable("max_passage_length", of_passage),
        )


def _everything(call: M3Call, texts: list[str]) -> tuple[Iterator[tuple[Any, Any, Any]], int]:
    """Of each text what scores need, and how many texts were cut."""
    *vectors, truncated = call.encode(texts, (True, True, True), False)
    return zip(*vectors, strict=True), truncated


class _Side:
    """The queries or the passages of pairs, encoded a window at a time; one that stands in many pairs only once.

    ``encode`` gives a value for each text, and how many of them were cut.
    """

    def __init__(self, name: str, encode: Callable[[list[str]], tuple[Iterable[Any], int]]) -> None:
        self._name, self._encode = name, encode
        self._known: dict[str, Any] = {}
        self.texts = self.truncated = 0

    def take(self, texts: Sequence[str], start: int) -> list[Any]:
        """What ``encode`` gives of each text of the pairs from ``start`` on."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        try:
            values, truncated = self._encode(new)
        except (ValueError, NumericsError) as error:
            if type(error) not in (ValueError, NumericsError):
                raise
            raise type(error)(self._naming_the_pair(str(error), new, texts, start)) from error
        self.texts, self.truncated = self.texts + len(new), self.truncated + truncated
        # Those of earlier windows alone that this one needs too: memory must not grow with the pairs.
        self._known = {text: self._known[text] for text in texts if text in self._known}
        self._known |= dict(zip(new, values, strict=True))
        return [self._known[text] for text in texts]

    def _naming_the_pair(self, message: str, new: list[str], texts: Sequence[str], start: int) -> str:
        def pair(match: re.Match[str]) -> str:
            return f"the {self._name} of pairs[{start + texts.index(new[int(match[1])])}]"

        return re.sub(r"texts\[(\d+)\]", pair, message)


def _mode_weights(weights: Any) -> NDArray[np.float64]:
    if weights is None:
        return np.ones(3)
    try:
        numbers = np.asarray([float(weight) for weight in weights])
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"weights_for_different_modes must be three numbers, got {quoted(weights)}") from error
    if len(numbers) != len(("dense", "sparse", "colbert")):
        raise AssertionError(
            f"weights_for_different_modes needs three weights, of dense, sparse and colbert; got {len(numbers)}"
        )
    return numbers


def _weight_tables(name: str, weights: Any) -> tuple[bool, list[Mapping[Any, Any]]]:
    """Lexical weights as a list of tables, and whether one alone came in."""
    if isinstance(weights, Mapping):
        return True, [weights]
    if isinstance(weights, str) or not isinstance(weights, Iterable):
        raise TypeError(f"{name} is {type(weights).__name__}, not a dict of weights or a list of such")
    tables = list(weights)
    for place, table in enumerate(tables):
        if not isinstance(table, Mapping):
            raise TypeError(f"{name}[{place}] is {type(table).__name__}, not a dict of weights")
    return False, tables


def _token_id(token: Any) -> int:
    try:
        number = int(token)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if not 0 <= number < 1 << 32:
        raise ValueError(f"{quoted(token)} is not the id of a token")
    return number


def _scores(query: Any, passage: Any, weights: NDArray[np.float64]) -> dict[str, float]:
    dense = float(query[0] @ passage[0])
    sparse = lexical_score(query[1], passage[1])
    colbert = float(maxsim(query[2], passage[2]))
    of_dense, of_sparse, of_colbert = weights
    # A denominator of zero gives what IEEE arithmetic gives, as in FlagEmbedding.
    with np.errstate(divide="ignore", invalid="ignore"):
        two = (of_sparse * sparse + of_dense * dense) / (of_sparse + of_dense)
        three = (of_colbert * colbert + of_sparse * sparse + of_dense * dense) / weights.sum()
    return dict(zip(_MODES, (colbert, sparse, dense, float(two), float(three)), strict=True))


def _dict_score(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> float:
    # FlagEmbedding's weights are numpy scalars, on a GPU of 16 bits.
    return float(sum(_weight(one, token) * _weight(other, token) for token in one if token in other))


def _weight(table: Mapping[Any, Any], token: Any) -> float:
    try:
        return float(table[token])
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"the weight of {quoted(token)} is not a number: {quoted(table[token])}") from error
