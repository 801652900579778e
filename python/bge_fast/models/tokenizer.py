"""``model.tokenizer``: the part of Hugging Face's tokenizer object that callers of FlagEmbedding use."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypedDict, overload

import numpy as np

from bge_fast import _core

_ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_UNLIMITED = 2**31 - 1


class TokenIds(TypedDict):
    """One text: its ids, and a 1 for each."""

    input_ids: list[int]
    attention_mask: list[int]


class TokenIdsOfMany(TypedDict):
    """The same for each of many texts; never padded."""

    input_ids: list[list[int]]
    attention_mask: list[list[int]]


class Tokenizer:
    """Token ids of texts, and back.

    ``len(tokenizer)`` is the number of ids. The special tokens are attributes: ``cls_token``, ``cls_token_id`` and so
    on; one that the checkpoint does not have is ``None``.
    """

    bos_token: str | None
    eos_token: str | None
    unk_token: str | None
    sep_token: str | None
    pad_token: str | None
    cls_token: str | None
    mask_token: str | None
    bos_token_id: int | None
    eos_token_id: int | None
    unk_token_id: int | None
    sep_token_id: int | None
    pad_token_id: int | None
    cls_token_id: int | None
    mask_token_id: int | None

    def __init__(self, core: _core.Model, special_tokens: dict[str, str], model_max_length: int) -> None:
        self._core = core
        self.special_tokens_map = special_tokens
        self.model_max_length = model_max_length

    def __len__(self) -> int:
        return self._core.vocabulary_size

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, text: str, *, truncation: bool | None = ..., max_length: int | None = ...
    ) -> TokenIds: ...
    @overload
    def __call__(
        self, text: Iterable[str], *, truncation: bool | None = ..., max_length: int | None = ...
    ) -> TokenIdsOfMany: ...
    def __call__(
        self, text: str | Iterable[str], *, truncation: bool | None = None, max_length: int | None = None
    ) -> TokenIds | TokenIdsOfMany:
        """Return ``input_ids`` and ``attention_mask`` as lists, or lists of lists for many texts; never padded.

        Texts are cut where ``max_length`` is given, or with ``truncation=True`` at the model's limit.
        """
        cut = max_length is not None if truncation is None else truncation
        limit = self.model_max_length if max_length is None else max_length
        length = limit if cut else _UNLIMITED
        if isinstance(text, str):
            ids = self._core.tokenize(text, length)
            return {"input_ids": ids, "attention_mask": [1] * len(ids)}
        rows = [self._core.tokenize(one, length) for one in text]
        return {"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]}

    def encode(self, text: str) -> list[int]:
        """Return all ids of one text, special tokens included."""
        return self._core.tokenize(text, _UNLIMITED)

    def decode(self, token_ids: int | Iterable[int], skip_special_tokens: bool = False) -> str:
        """Return the text of ids."""
        ids = [token_ids] if isinstance(token_ids, int | np.integer) else list(token_ids)
        return self._core.decode(ids, skip_special_tokens)

    @overload
    def convert_ids_to_tokens(self, ids: int) -> str | None: ...
    @overload
    def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str | None]: ...
    def convert_ids_to_tokens(self, ids: int | Iterable[int]) -> str | list[str | None] | None:
        """Return the token of each id."""
        return self._core.token(ids) if isinstance(ids, int | np.integer) else [self._core.token(one) for one in ids]

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int | None: ...  # type: ignore[overload-overlap]
    @overload
    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int | None]: ...
    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> int | list[int | None] | None:
        """Return the id of each token; an unknown token has the id of the unknown token."""
        return self._id(tokens) if isinstance(tokens, str) else [self._id(token) for token in tokens]

    def _id(self, token: str) -> int | None:
        known = self._core.token_id(token)
        return self.unk_token_id if known is None else known

    if not TYPE_CHECKING:  # Type checkers know the attributes from above, and a misspelt one.

        def __getattr__(self, name: str) -> Any:
            role = name.removesuffix("_id")
            if role not in _ROLES:
                raise AttributeError(f"the tokenizer has no attribute {name!r}")
            token = self.special_tokens_map.get(role)
            return token if token is None or role == name else self._core.token_id(token)
