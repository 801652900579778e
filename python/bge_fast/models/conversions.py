"""What M3's batches become: FlagEmbedding's shapes, and those that vector stores take."""

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bge_fast.models.shapes import Matrix, Vector

if TYPE_CHECKING:
    from chromadb.base_types import SparseVector as ChromaSparseVector
    from pgvector import SparseVector as PgSparseVector
    from qdrant_client.models import SparseVector as QdrantSparseVector
    from scipy.sparse import csr_array

Offsets = NDArray[np.int32] | NDArray[np.int64]
_QDRANT_MOST_NUMBERS = 1_048_576
# Texts whose weights become Python's objects in one go, in which no other thread gets its turn.
_TEXTS_AT_ONCE = 1024


class SparseConversions:
    """Lexical weights in other shapes. Lists have one entry a text; each method imports its store's package."""

    offsets: Offsets
    ids: NDArray[np.int32]
    weights: Vector
    dim: int

    def to_dicts(self) -> list[defaultdict[str, float]]:
        """FlagEmbedding's shape: for each text a ``defaultdict(int)`` from the id as ``str`` to its weight."""
        tables: list[defaultdict[str, float]] = []
        for start in range(0, len(self.offsets) - 1, _TEXTS_AT_ONCE):
            offsets = self.offsets[start : start + _TEXTS_AT_ONCE + 1]
            part = slice(offsets[0], offsets[-1])
            names, weights = list(map(str, self.ids[part].tolist())), self.weights[part].tolist()
            bounds = pairwise((offsets - offsets[0]).tolist())
            tables += [defaultdict(int, zip(names[a:b], weights[a:b], strict=True)) for a, b in bounds]
        return tables

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
        shape = (len(self.offsets) - 1, self.dim)
        matrix = csr_array((self.weights, self.ids, self.offsets), shape=shape, copy=sort)
        if sort:
            matrix.sort_indices()
        return matrix

    def to_milvus(self) -> "csr_array":
        """Rows for a ``SPARSE_FLOAT_VECTOR`` field, as a sorted ``csr_array``; see `to_csr`."""
        return self.to_csr()

    def to_qdrant(self) -> list["QdrantSparseVector"]:
        """``qdrant_client.models.SparseVector`` objects.

        Raises:
            ImportError: qdrant-client is not installed.
        """
        try:
            from qdrant_client.models import SparseVector
        except ImportError as error:
            raise ImportError("to_qdrant() needs qdrant-client: pip install qdrant-client") from error
        return [SparseVector(indices=ids, values=weights) for ids, weights in self._lists()]

    def to_pgvector(self) -> list["PgSparseVector"]:
        """``pgvector.SparseVector`` objects for a column ``sparsevec(dim)``; an HNSW index takes 1,000 weights a text.

        Raises:
            ImportError: pgvector is not installed.
            ValueError: an id outside ``dim``, which pgvector itself does not look for.
        """
        try:
            from pgvector import SparseVector
        except ImportError as error:
            raise ImportError("to_pgvector() needs pgvector: pip install pgvector") from error
        self._check_ids()
        return [SparseVector(dict(zip(ids, weights, strict=True)), self.dim) for ids, weights in self._lists()]

    def to_chroma(self) -> list["ChromaSparseVector"]:
        """``chromadb`` sparse vectors, their ids in ascending order.

        Raises:
            ImportError: chromadb is not installed.
        """
        try:
            from chromadb.base_types import SparseVector
        except ImportError as error:
            raise ImportError("to_chroma() needs chromadb: pip install chromadb") from error
        rows = [sorted(zip(ids, weights, strict=True)) for ids, weights in self._lists()]
        return [SparseVector([id for id, _ in row], [weight for _, weight in row]) for row in rows]

    def to_elastic(self) -> list[dict[str, float]]:
        """``{"id": weight}`` for Elasticsearch's ``sparse_vector``; set ``index_options: {"prune": false}`` there."""
        return [dict(weights) for weights in self.to_dicts()]

    def to_opensearch(self) -> list[dict[str, float]]:
        """``{"id": weight}`` for OpenSearch's ``rank_features`` or ``sparse_vector``."""
        return self.to_elastic()

    def to_vespa(self) -> list[dict[str, float]]:
        """``{"id": weight}`` for a Vespa field ``tensor<bfloat16>(t{})``."""
        return self.to_elastic()

    def _lists(self) -> list[tuple[list[int], list[float]]]:
        """Ids and weights of each text, as Python's numbers."""
        ids, weights = self.ids.tolist(), self.weights.tolist()
        return [(ids[start:end], weights[start:end]) for start, end in pairwise(self.offsets.tolist())]

    def _check_ids(self) -> None:
        outside = np.flatnonzero((self.ids < 0) | (self.ids >= self.dim))
        if len(outside):
            text = int(np.searchsorted(self.offsets, outside[0], side="right")) - 1
            raise ValueError(f"text {text} has the id {self.ids[outside[0]]}, but ids go from 0 to {self.dim - 1}")


class ColbertConversions:
    """Multi-vectors in other shapes. Lists have one entry a text."""

    offsets: Offsets
    vectors: Matrix

    def to_list(self) -> list[Matrix]:
        """FlagEmbedding's shape: for each text a matrix ``(tokens - 1, dim)`` that owns its memory."""
        return [self.vectors[start:end].copy() for start, end in pairwise(self.offsets.tolist())]

    def to_qdrant(self) -> list[list[list[float]]]:
        """Multi-vectors for a Qdrant vector with ``MultiVectorConfig(comparator=MAX_SIM)``.

        Raises:
            ValueError: a text with more numbers than Qdrant stores in one multi-vector, which is 1,048,576.
        """
        width = self.vectors.shape[1]
        lengths = np.diff(self.offsets)
        too_long = np.flatnonzero(lengths * width > _QDRANT_MOST_NUMBERS)
        if len(too_long):
            text, most = int(too_long[0]), _QDRANT_MOST_NUMBERS // width
            raise ValueError(
                f"text {text} has {lengths[text]:,} vectors of {width:,} numbers, and Qdrant refuses a multi-vector of "
                f"more than 1,048,576 numbers: encode with max_length={most}, or call pool({most}) first"
            )
        return [self.vectors[start:end].tolist() for start, end in pairwise(self.offsets.tolist())]

    def to_vespa(self) -> list[dict[str, list[float]]]:
        """``{"position": vector}`` for a Vespa field ``tensor<bfloat16>(t{}, x[dim])``."""
        rows = (self.vectors[start:end].tolist() for start, end in pairwise(self.offsets.tolist()))
        return [{str(position): vector for position, vector in enumerate(row)} for row in rows]
