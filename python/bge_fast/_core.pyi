"""The Rust core: strings and numbers in, arrays out. Methods let go of the GIL; any thread may call them.

Errors are those of `bge_fast.errors`. ``tokenize_pair``, ``tokenize_around``, ``tokenize_prompted`` and
``panic_on_purpose`` are here for tests alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Best",
    "Checkpoint",
    "Model",
    "Progress",
    "Runtime",
    "Tokenizer",
    "available_threads",
    "instructions",
    "list_tensors",
    "load_runtime",
    "loaded_runtime",
    "panic_on_purpose",
    "read_tensors",
    "startable_threads",
]

@final
class Runtime:
    """The loaded ONNX Runtime library."""

    @property
    def path(self) -> Path: ...
    @property
    def version(self) -> str: ...
    @property
    def providers(self) -> list[str]: ...

@final
class Progress:
    """How many texts of a running call are done."""

    def __new__(cls) -> Progress: ...
    @property
    def done(self) -> int: ...
    def stop(self) -> None:
        """End the call, with `InternalError`, after the batch that is running."""

@final
class Best:
    """The ``k`` best scores of each query, of blocks of scores that come in the order of their places.

    ``excluded`` are the places that are no hits, for each query. Of equal scores the lowest place is the best.
    """

    def __new__(cls, k: int, excluded: list[list[int]]) -> Best: ...
    def offer(self, scores: NDArray[np.float32], first_query: int, first_place: int) -> None:
        """Take scores ``(queries, places)``, those of ``first_query`` and ``first_place`` first."""

    def result(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Scores and places ``(queries, most hits of one)``, best first, filled up with negative infinity and -1."""

@final
class Checkpoint:
    """Weight files and the sizes of their network, from which any form of the graph is assembled.

    ``files`` are real paths, ``names`` what errors call them; ``heads`` are layers of BGE-M3 with their files;
    ``outputs`` what there must be tensors for. Sizes are those of ``graph_sizes``.
    """

    def __new__(
        cls,
        files: list[str],
        sizes: Mapping[str, Any],
        *,
        names: list[str] | None = None,
        heads: list[tuple[str, str]] | None = None,
        changed: str | None = None,
        outputs: list[str] = ...,
    ) -> Checkpoint: ...
    def graph(
        self,
        outputs: list[str],
        layout: Literal["plain", "masked", "halved", "packed", "few"],
        *,
        precision: Literal["fp32", "fp16", "bf16"] = "fp32",
        cutoffs: list[int] = ...,
        compress: tuple[list[int], int] = ...,
    ) -> tuple[bytes, Path]:
        """An ONNX model, and the folder that its weights lie in.

        ``packed`` and ``few`` are for CUDA, as all graphs of decoders, which are ``plain``; and only there precisions
        of 16 bits, whose matrices are in no file. Decoders score after each layer of ``cutoffs``; before
        the layers of ``compress`` runs of so many tokens become one.
        """

    @property
    def narrows_on_cuda(self) -> bool:
        """Whether a CUDA device computes it in 16 bits."""

    def left_over(self) -> str | None: ...
    def head_width(self, layer: str) -> int:
        """Numbers that a head puts out for a token."""

@final
class Model:
    """An opened model: the tokenizer of a folder with a graph, or with what graphs are assembled from.

    ``outputs`` are those of the form that opens at once; ``dimension`` is the width of a hidden state.
    """

    def __new__(
        cls,
        folder: str,
        graph: str | Checkpoint,
        *,
        cuda: list[int],
        threads: int,
        low_memory: bool,
        arithmetic: str,
        model_type: str | None,
        pad_id: int,
        dimension: int,
        outputs: list[str],
        timeout: float | None,
        max_queue: int | None,
        deterministic: bool,
    ) -> Model: ...
    def warm_up(self, longest: int) -> None:
        """Do what the first calls of few texts, of up to ``longest`` tokens each, would wait for."""

    def encode(
        self,
        texts: list[str],
        *,
        max_length: int,
        batch_size: int,
        pooling: str,
        normalize: bool,
        truncate_dim: int | None,
        refuse_long: bool,
        progress: Progress,
        around: tuple[str, str] | None = None,
    ) -> tuple[NDArray[np.float32], int]:
        """Vectors ``(len(texts), dimension)``, and the number of texts that were cut.

        ``around`` are the texts before and behind each query of a model that learns in context.
        """

    def encode_m3(
        self,
        texts: list[str],
        *,
        max_length: int,
        batch_size: int,
        pooling: str,
        normalize: bool,
        truncate_dim: int | None,
        refuse_long: bool,
        dense: bool,
        sparse: list[int] | None,
        colbert: Literal["separate", "joined"] | None,
        progress: Progress,
    ) -> tuple[
        NDArray[np.float32] | None,
        tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]] | None,
        list[NDArray[np.float32]] | tuple[NDArray[np.int64], NDArray[np.float32]] | None,
        int,
    ]:
        """Of one pass: dense vectors ``(len(texts), dimension)``; lexical weights as (offsets, ids, weights).

        Then of each text the vectors of its tokens but the first, as ``"separate"`` matrices or ``"joined"`` as
        (offsets, numbers); and the number of texts that were cut. ``sparse`` lists ids that get no weight.
        """

    def score(
        self,
        queries: list[str],
        passages: list[str],
        *,
        query_max_length: int,
        max_length: int,
        batch_size: int,
        progress: Progress,
    ) -> NDArray[np.float32]:
        """The logit of each pair."""

    def score_prompted(
        self,
        queries: list[str],
        passages: list[str],
        *,
        prompt: str,
        start: int | None,
        query_max_length: int,
        max_length: int,
        batch_size: int,
        cutoffs: list[int],
        compress_layers: list[int],
        compress_ratio: int,
        progress: Progress,
    ) -> NDArray[np.float32]:
        """The scores of each pair, ``(len(queries), scores)``: after each layer of ``cutoffs``, or after the last."""

    def tokenize_pair(
        self, query: str, passage: str, query_max_length: int, max_length: int
    ) -> tuple[list[int], bytes]:
        """Ids and token types of one pair, special tokens included."""

    @property
    def own_operators(self) -> bool:
        """Whether its graphs are made of operators of the core's own."""

    def providers(self) -> list[tuple[str, int]]:
        """Execution providers of the live session, each with the number of its nodes."""

    @property
    def seconds(self) -> tuple[float, float, float]:
        """Seconds of all threads together that calls spent tokenizing, waiting for a run, and running."""

    @property
    def batches_run(self) -> int:
        """How many batches went through a graph."""

    def totals(self) -> dict[str, int]:
        """What it did so far, by name, and how many calls wait for a run."""

    @property
    def tokenizer(self) -> Tokenizer: ...

@final
class Tokenizer:
    """The tokenizer of a model's folder."""

    def __new__(cls, folder: str) -> Tokenizer: ...
    def count(self, texts: list[str]) -> list[int]:
        """How many ids each text has, special tokens included and none cut."""

    def tokenize(self, text: str, max_length: int, special: bool) -> list[int]:
        """Ids of one text, at most ``max_length``, with special tokens or without."""

    def tokenize_around(self, query: str, around: tuple[str, str], max_length: int) -> list[int]:
        """Ids of a query with texts before and behind it, special tokens included."""

    def tokenize_prompted(
        self, query: str, passage: str, prompt: str, start: int | None, query_max_length: int, max_length: int
    ) -> list[int]:
        """Ids of a pair with a prompt behind it, and ``start`` before it."""

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str: ...
    def token(self, id: int) -> str | None: ...
    def token_id(self, token: str) -> int | None: ...
    def vocabulary(self) -> dict[str, int]:
        """All tokens with their ids."""

    def added_tokens(self) -> list[tuple[str, int, bool]]:
        """Tokens added to the model's own, with their ids, and whether each is special."""

    @property
    def special_tokens(self) -> list[tuple[str, str]]:
        """Special tokens: each with its role, or with the key of the list that names it."""

    @property
    def pair_frame(self) -> tuple[list[int], list[int], list[int]]:
        """Ids before, between and behind the texts of a pair."""

    @property
    def token_types(self) -> tuple[bool, bool]:
        """Whether there are token types, and whether the second text of a pair has type 1."""

    @property
    def cuts_left(self) -> bool: ...
    @property
    def cleans_up(self) -> bool:
        """Whether blanks before punctuation are taken out of decoded text."""

    @property
    def vocabulary_size(self) -> int: ...
    @property
    def model_size(self) -> int:
        """Number of ids without those of added tokens."""

def read_tensors(files: list[str], names: list[str] | None = None) -> dict[str, NDArray[np.float32]]: ...
def list_tensors(files: list[str]) -> list[list[tuple[str, str, list[int], list[int] | None, int, int]]]:
    """The tensors of each file, in the order in which they lie there.

    Each is its name, its type as the file calls it, its shape, its strides in elements where it does not lie row by
    row, its first byte in the file and its number of bytes.
    """

def load_runtime(path: str, dependencies: list[str]) -> Runtime:
    """Load a library, after the libraries that it needs; once a process."""

def loaded_runtime() -> Runtime | None: ...
def instructions(at_most: str | None = None) -> tuple[str, str, str | None]:
    """Settle which instructions the core's own kernels use: of float32, int8 and bfloat16."""

def available_threads() -> int:
    """Threads that affinity mask and cgroup allow this process."""

def startable_threads(wanted: int) -> int: ...
def panic_on_purpose() -> None: ...
