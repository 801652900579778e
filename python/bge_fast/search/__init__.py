"""Exact search: the best of all passages for each query, by dense, sparse and multi-vectors, without an index."""

from bge_fast.search.dense import top_k as top_k
from bge_fast.search.hits import Hits as Hits
from bge_fast.search.hits import Selection as Selection
from bge_fast.search.hybrid import hybrid_top_k as hybrid_top_k
from bge_fast.search.multi import rescore as rescore
from bge_fast.search.sparse import InvertedLists as InvertedLists
from bge_fast.search.sparse import sparse_top_k as sparse_top_k

__all__ = ["Hits", "InvertedLists", "Selection", "hybrid_top_k", "rescore", "sparse_top_k", "top_k"]
