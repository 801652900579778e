"""``model.tokenizer``: the part of Hugging Face's tokenizer object that callers of FlagEmbedding use."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from bge_fast import _core

_ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_UNLIMITED = 2**31 - 1


class Tokenizer:
    """Token ids of texts, and back.

    ``len(tokenizer)`` is the number of ids. The special tokens are attributes: ``cls_token``, ``cls_token_id`` and so
    on; one that the checkpoint does not have is ``None``.
    """

    def __init__(self, core: _core.Model, special_tokens: dict[str, str], model_max_length: int) -> None:
        self._core = core
        self.special_tokens_map = special_tokens
        self.model_max_length = model_max_length

    def __len__(self) -> int:
        return self._core.vocabulary_size

    def __call__(
        self, text: str | Iterable[str], *, truncation: bool | None = None, max_length: int | None = None
    ) -> dict[str, Any]:
        """Return ``input_ids`` and ``attention_mask`` as lists, or lists of lists for many texts; never padded.

        Texts are cut where ``max_length`` is given, or with ``truncation=True`` at the model's limit.
        """
        cut = max_length is not None if truncation is None else truncation
        limit = self.model_max_length if max_length is None else max_length
        length = limit if cut else _UNLIMITED
        if isinstance(text, str):
            ids: Any = self._core.tokenize(text, length)
            return {"input_ids": ids, "attention_mask": [1] * len(ids)}
        ids = [self._core.tokenize(one, length) for one in text]
        return {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]}

    def encode(self, text: str) -> list[int]:
        """Return all ids of one text, special tokens included."""
        return self._core.tokenize(text, _UNLIMITED)

    def decode(self, token_ids: int | Iterable[int], skip_special_tokens: bool = False) -> str:
        """Return the text of ids."""
        ids = [token_ids] if isinstance(token_ids, int | np.integer) else list(token_ids)
        return self._core.decode(ids, skip_special_tokens)

    def convert_ids_to_tokens(self, ids: int | Iterable[int]) -> Any:
        """Return the token of each id."""
        return self._core.token(ids) if isinstance(ids, int | np.integer) else [self._core.token(one) for one in ids]

    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> Any:
        """Return the id of each token; an unknown token has the id of the unknown token."""
        return self._id(tokens) if isinstance(tokens, str) else [self._id(token) for token in tokens]

    def _id(self, token: str) -> int | None:
        known = self._core.token_id(token)
        return self.unk_token_id if known is None else known

    def __getattr__(self, name: str) -> Any:
        role = name.removesuffix("_id")
        if role not in _ROLES:
            raise AttributeError(f"the tokenizer has no attribute {name!r}")
        token = self.special_tokens_map.get(role)
        return token if token is None or role == name else self._core.token_id(token)
