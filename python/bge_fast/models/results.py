"""M3's native results: one allocation a kind for all texts of a call. FlagEmbedding's shapes are made from them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from bge_fast.models.shapes import Matrix, Scores, Vector

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Offsets = NDArray[np.int32] | NDArray[np.int64]
B = TypeVar("B")
_MATRIX = 2
_MAX_INT32 = 2**31 - 1
# Rows of a query that are compared with a passage at once: bounds the memory for 8,192 × 8,192 similarities.
_ROWS_AT_ONCE = 1024
# Texts whose weights become Python's objects in one go, in which no other thread gets its turn.
_TEXTS_AT_ONCE = 1024


class _Batch:
    """Rows of different lengths, one after the other: row ``i`` is ``offsets[i]`` to ``offsets[i + 1]``."""

    offsets: Offsets

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def _bounds(self, index: int) -> slice:
        if not hasattr(index, "__index__"):
            raise TypeError(f"a batch takes an int or a slice, not {type(index).__name__}")
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"index {index} is out of range for a batch of {len(self)}")
        return slice(int(self.offsets[place]), int(self.offsets[place + 1]))

    def _span(self, rows: slice) -> tuple[slice, Offsets]:
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise ValueError(f"a batch is sliced in steps of 1, not {step}")
        offsets = self.offsets[start : max(start, stop) + 1]
        return slice(int(offsets[0]), int(offsets[-1])), _read_only(offsets - offsets[0])

    # numpy forgets in a pickle what may be written.
    def __setstate__(self, state: dict[str, Any]) -> None:
        for value in state.values():
            if isinstance(value, np.ndarray):
                _read_only(value)
        self.__dict__.update(state)


@dataclass(frozen=True, eq=False, repr=False)
class SparseBatch(_Batch):
    """Lexical weights of texts.

    ``ids[offsets[i]:offsets[i + 1]]`` are the token ids of text ``i``, each once, in the order in which each first had
    a positive weight; ``weights`` (float32) are theirs. ``dim`` is the number of ids there are. Arrays are read-only;
    offsets and ids are int32 where that is enough.
    """

    offsets: Offsets
    ids: NDArray[np.int32]
    weights: Vector
    dim: int

    @classmethod
    def of(cls, offsets: NDArray[np.int64], ids: NDArray[np.uint32], weights: Vector, dim: int) -> Self:
        """Wrap the core's arrays."""
        return cls(_narrowed(offsets), _read_only(ids.view(np.int32)), _read_only(weights), dim)

    @classmethod
    def concat(cls, batches: Iterable["SparseBatch"]) -> "SparseBatch":
        """One batch of all rows."""
        batches = _checked_batches(batches, SparseBatch)
        offsets = _joined_offsets([batch.offsets for batch in batches])
        ids = np.concatenate([batch.ids for batch in batches])
        weights = np.concatenate([batch.weights for batch in batches])
        return cls.of(offsets, ids.view(np.uint32), weights, max(batch.dim for batch in batches))

    @overload
    def __getitem__(self, index: int) -> tuple[NDArray[np.int32], Vector]: ...
    @overload
    def __getitem__(self, index: slice) -> "SparseBatch": ...
    def __getitem__(self, index: int | slice) -> Any:
        """Ids and weights of one text, or a batch of some. Views, no copies."""
        if isinstance(index, slice):
            span, offsets = self._span(index)
            return SparseBatch(offsets, self.ids[span], self.weights[span], self.dim)
        bounds = self._bounds(index)
        return self.ids[bounds], self.weights[bounds]

    def __iter__(self) -> Iterator[tuple[NDArray[np.int32], Vector]]:
        return (self[index] for index in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SparseBatch):
            return NotImplemented
        mine, theirs = (self.offsets, self.ids, self.weights), (other.offsets, other.ids, other.weights)
        return self.dim == other.dim and all(map(np.array_equal, mine, theirs))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"SparseBatch({len(self)} texts, {len(self.ids)} weights, dim {self.dim})"

    def to_dicts(self) -> list[defaultdict[str, float]]:
        """FlagEmbedding's shape: for each text a ``defaultdict(int)`` from the id as ``str`` to its weight."""
        starts = range(0, len(self), _TEXTS_AT_ONCE)
        return [table for start in starts for table in self[start : start + _TEXTS_AT_ONCE]._dicts()]

    def _dicts(self) -> list[defaultdict[str, float]]:
        names, weights = list(map(str, self.ids.tolist())), self.weights.tolist()
        bounds = pairwise(self.offsets.tolist())
        return [defaultdict(int, zip(names[a:b], weights[a:b], strict=True)) for a, b in bounds]

    def to_csr(self, sort: bool = True) -> "csr_array":
        """Return a float32 ``scipy.sparse.csr_array`` ``(n, dim)``; with ``sort=False`` one that shares memory.

        One that shares memory cannot be written to, which scipy does to sort it, for ``max`` and ``argmax`` too.

        Raises:
            ImportError: scipy is not installed.
        """
        try:
            from scipy.sparse import csr_array
        except ImportError as error:
            raise ImportError("to_csr() needs scipy: pip install scipy") from error
        matrix = csr_array((self.weights, self.ids, self.offsets), shape=(len(self), self.dim), copy=sort)
        if sort:
            matrix.sort_indices()
        return matrix

    def dot(self, other: "SparseBatch") -> Scores:
        """Lexical scores of every text here with every text there, ``(len(self), len(other))`` float64."""
        _check_batch(other, SparseBatch)
        scores = np.zeros((len(self), len(other)))
        places = np.repeat(np.arange(len(other)), np.diff(other.offsets))
        for row, (ids, weights) in enumerate(self):
            if len(ids):
                mine = _weights_of(other.ids, ids, weights) * other.weights.astype(np.float64)
                scores[row] = np.bincount(places, mine, len(other))
        return scores


@dataclass(frozen=True, eq=False, repr=False)
class ColbertBatch(_Batch):
    """Multi-vector output: ``vectors[offsets[i]:offsets[i + 1]]`` are those of text ``i``, one a token but the first.

    ``vectors`` is float32 ``(tokens, dim)``. Arrays are read-only.
    """

    offsets: Offsets
    vectors: Matrix

    @classmethod
    def of(cls, offsets: NDArray[np.int64], numbers: NDArray[np.float32], dim: int) -> Self:
        """Wrap the core's arrays."""
        return cls(_narrowed(offsets), _read_only(numbers.reshape(-1, dim)))

    @classmethod
    def concat(cls, batches: Iterable["ColbertBatch"]) -> "ColbertBatch":
        """One batch of all rows."""
        batches = _checked_batches(batches, ColbertBatch)
        vectors = np.concatenate([batch.vectors for batch in batches])
        return cls.of(_joined_offsets([batch.offsets for batch in batches]), vectors, vectors.shape[1])

    @overload
    def __getitem__(self, index: int) -> Matrix: ...
    @overload
    def __getitem__(self, index: slice) -> "ColbertBatch": ...
    def __getitem__(self, index: int | slice) -> Any:
        """The vectors of one text, or a batch of some. Views, no copies."""
        if isinstance(index, slice):
            span, offsets = self._span(index)
            return ColbertBatch(offsets, self.vectors[span])
        return self.vectors[self._bounds(index)]

    def __iter__(self) -> Iterator[Matrix]:
        return (self[index] for index in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ColbertBatch):
            return NotImplemented
        return np.array_equal(self.offsets, other.offsets) and np.array_equal(self.vectors, other.vectors)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ColbertBatch({len(self)} texts, {len(self.vectors)} vectors of {self.vectors.shape[1]})"

    def to_list(self) -> list[Matrix]:
        """FlagEmbedding's shape: for each text a matrix ``(tokens - 1, dim)`` that owns its memory."""
        return [row.copy() for row in self]

    def maxsim(self, other: "ColbertBatch") -> Scores:
        """Late-interaction scores of every query here with every passage there, ``(len(self), len(other))`` float64."""
        _check_batch(other, ColbertBatch)
        scores = [maxsim(query, passage) for query in self for passage in other]
        return np.array(scores, np.float64).reshape(len(self), len(other))


@dataclass(frozen=True, eq=False)
class M3Vectors:
    """What ``encode_vectors`` gives; ``None`` for what was not asked for."""

    dense: Matrix | None
    sparse: SparseBatch | None
    colbert: ColbertBatch | None


def maxsim(query: Matrix, passage: Matrix) -> np.float32:
    """Mean over the query's vectors of the largest dot product with a passage's vector."""
    for name, vectors in (("query", query), ("passage", passage)):
        if vectors.ndim != _MATRIX or not len(vectors):
            raise ValueError(f"the {name} has no (tokens, dim) matrix of vectors but an array of shape {vectors.shape}")
    parts = range(0, len(query), _ROWS_AT_ONCE)
    best = [(query[start : start + _ROWS_AT_ONCE] @ passage.T).max(axis=1) for start in parts]
    return np.float32(np.concatenate(best).sum(dtype=np.float64) / len(query))


def lexical_score(one: tuple[NDArray[np.int32], Vector], other: tuple[NDArray[np.int32], Vector]) -> float:
    """Sum over shared ids of the products of their weights."""
    if not len(one[0]) or not len(other[0]):
        return 0.0
    return float(_weights_of(other[0], *one) @ other[1].astype(np.float64))


def _weights_of(wanted: NDArray[np.int32], ids: NDArray[np.int32], weights: Vector) -> NDArray[np.float64]:
    """The weight of each wanted id, 0 where it has none."""
    order = np.argsort(ids)
    places = order[np.searchsorted(ids, wanted, sorter=order).clip(max=len(ids) - 1)]
    return np.where(ids[places] == wanted, weights[places], 0).astype(np.float64)


def _checked_batches(batches: Iterable[Any], wanted: type[B]) -> list[B]:
    if not (listed := list(batches)):
        raise ValueError("concat needs at least one batch")
    for place, batch in enumerate(listed):
        if not isinstance(batch, wanted):
            raise TypeError(f"batches[{place}] is {type(batch).__name__}, not {wanted.__name__}")
    return listed


def _check_batch(other: Any, wanted: type) -> None:
    if not isinstance(other, wanted):
        raise TypeError(f"expected a {wanted.__name__}, got {type(other).__name__}")


def _joined_offsets(parts: Sequence[Offsets]) -> NDArray[np.int64]:
    lengths = np.concatenate([np.diff(offsets) for offsets in parts])
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _narrowed(offsets: NDArray[np.int64]) -> Offsets:
    narrow: Offsets = _read_only(offsets.astype(np.int32) if offsets[-1] <= _MAX_INT32 else offsets)
    return narrow


def _read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array
