from collections.abc import Mapping
from pathlib import Path
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Checkpoint",
    "Model",
    "Progress",
    "Runtime",
    "available_threads",
    "load_runtime",
    "loaded_runtime",
    "panic_on_purpose",
]

@final
class Runtime:
    @property
    def path(self) -> Path: ...
    @property
    def version(self) -> str: ...
    @property
    def providers(self) -> list[str]: ...

@final
class Progress:
    def __new__(cls) -> Progress: ...
    @property
    def done(self) -> int: ...

@final
class Checkpoint:
    def __new__(
        cls,
        files: list[str],
        encoder: Mapping[str, int | float | str],
        *,
        names: list[str] | None = None,
        heads: list[tuple[str, str]] | None = None,
        outputs: list[str] = ...,
    ) -> Checkpoint: ...
    def graph(self, outputs: list[str], layout: Literal["plain", "masked", "halved"]) -> tuple[bytes, Path]: ...
    def head_width(self, layer: str) -> int: ...

@final
class Model:
    def __new__(
        cls,
        folder: str,
        graph: str | Checkpoint,
        *,
        cuda: int | None,
        threads: int,
        low_memory: bool,
        model_type: str,
        pad_id: int,
        dimension: int,
        outputs: list[str],
    ) -> Model: ...
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
    ) -> tuple[NDArray[np.float32], int]: ...
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
    ]: ...
    def score(
        self,
        queries: list[str],
        passages: list[str],
        *,
        query_max_length: int,
        max_length: int,
        batch_size: int,
        progress: Progress,
    ) -> NDArray[np.float32]: ...
    def tokenize_pair(
        self, query: str, passage: str, query_max_length: int, max_length: int
    ) -> tuple[list[int], bytes]: ...
    def providers(self) -> list[tuple[str, int]]: ...
    def tokenize(self, text: str, max_length: int) -> list[int]: ...
    def decode(self, ids: list[int], skip_special_tokens: bool) -> str: ...
    def token(self, id: int) -> str | None: ...
    def token_id(self, token: str) -> int | None: ...
    @property
    def vocabulary_size(self) -> int: ...

def load_runtime(path: str, dependencies: list[str]) -> Runtime: ...
def loaded_runtime() -> Runtime | None: ...
def available_threads() -> int: ...
def panic_on_purpose() -> None: ...
