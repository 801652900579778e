"""``model.tokenizer``: the part of Hugging Face's tokenizer object that callers of FlagEmbedding use."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from bge_fast import _core
from bge_fast.models.encoding import (
    Encoding,
    Options,
    Padding,
    Truncation,
    assembled,
    cut_pair,
    length_of,
    whole_numbers,
)
from bge_fast.models.inputs import to_texts

_ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_UNLIMITED = 2**31 - 1
# Blanks that were put before punctuation and English endings, in the order in which they are taken out.
_CLEANED = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")
_LARGEST_ID = 2**32 - 1

Text = str | tuple[str, str] | list[str]
"""A text, or a pair of two in a list of texts."""


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

    def __init__(self, core: _core.Tokenizer, model_max_length: int, name_or_path: str) -> None:
        self._core = core
        self.model_max_length = model_max_length
        self.name_or_path = name_or_path
        self.clean_up_tokenization_spaces = core.cleans_up
        self.truncation_side = "left" if core.cuts_left else "right"
        self.padding_side = "right"
        self._roles = {role: token for role, token in core.special_tokens if role in _ROLES}
        self.additional_special_tokens = [token for role, token in core.special_tokens if role not in _ROLES]
        typed = ["token_type_ids"] if core.token_types[0] else []
        self.model_input_names = ["input_ids", *typed, "attention_mask"]

    def __len__(self) -> int:
        return self._core.vocabulary_size

    @property
    def vocab_size(self) -> int:
        """Number of ids of the model's own vocabulary, without tokens that were added to it."""
        return self._core.model_size

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """Role → token, and further special tokens under ``additional_special_tokens``."""
        further = self.additional_special_tokens
        return {**self._roles, **({"additional_special_tokens": further} if further else {})}

    @property
    def all_special_tokens(self) -> list[str]:
        """All special tokens, each once."""
        return list(dict.fromkeys([*self._roles.values(), *self.additional_special_tokens]))

    @property
    def all_special_ids(self) -> list[int | None]:
        """Ids of `all_special_tokens`."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    def get_vocab(self) -> dict[str, int]:
        """All tokens with their ids, added ones too."""
        return self._core.vocabulary()

    def get_added_vocab(self) -> dict[str, int]:
        """Tokens that are looked for before the model sees a text, with their ids."""
        return {token: id for token, id, _ in self._core.added_tokens()}

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, text: str, text_pair: str | None = ..., *, return_tensors: None = ..., **options: Unpack[Options]
    ) -> Encoding[list[int]]: ...
    @overload
    def __call__(
        self,
        text: Iterable[Text],
        text_pair: Iterable[str] | None = ...,
        *,
        return_tensors: None = ...,
        **options: Unpack[Options],
    ) -> Encoding[list[list[int]]]: ...
    @overload
    def __call__(
        self,
        text: str | Iterable[Text],
        text_pair: str | Iterable[str] | None = ...,
        *,
        return_tensors: Literal["np", "pt"],
        **options: Unpack[Options],
    ) -> Encoding[Any]: ...
    def __call__(
        self,
        text: str | Iterable[Text],
        text_pair: str | Iterable[str] | None = None,
        *,
        add_special_tokens: bool = True,
        padding: Padding = False,
        truncation: Truncation = None,
        max_length: int | None = None,
        return_tensors: Literal["np", "pt"] | None = None,
    ) -> Encoding[Any]:
        """Return ``input_ids`` and ``attention_mask`` as lists, or lists of lists for many texts.

        BERT's tokenizers give ``token_type_ids`` too. Texts are cut where ``max_length`` is given, or with
        ``truncation=True`` at the model's limit; of a pair always the longer one. They are padded on the right, with
        ``padding=True`` to the longest and with ``"max_length"`` to that length.

        Args:
            text: a text, or many; among many a tuple of two texts is a pair.
            text_pair: the second texts of pairs, as many as ``text`` has.
            return_tensors: ``"np"`` or ``"pt"`` for int64 arrays ``(texts, tokens)``.

        Raises:
            TypeError, ValueError: something that is no text, no length or no known way; names it.
        """
        limit = length_of(max_length, self.model_max_length, truncation, _UNLIMITED)
        one = isinstance(text, str)
        texts = _texts(text, text_pair)
        rows = [self._row(first, second, add_special_tokens, limit) for first, second in texts]
        width = (self.model_max_length if max_length is None else max_length) if padding == "max_length" else None
        pad = self.pad_token_id or 0
        return assembled(rows, self.model_input_names, padding, width, pad, return_tensors, one=one)

    def _row(self, first: str, second: str | None, special: bool, limit: int) -> tuple[list[int], int]:
        """Ids, and how many of them come before those of token type 1."""
        if second is None:
            ids = self._core.tokenize(first, limit, special)
            return ids, len(ids)
        before, between, after = self._core.pair_frame if special else ([], [], [])
        query, passage = (self._core.tokenize(text, _UNLIMITED, False) for text in (first, second))
        room = max(0, limit - len(before) - len(between) - len(after))
        query, passage = cut_pair(query, passage, room, left=self._core.cuts_left)
        ids = [*before, *query, *between, *passage, *after]
        return ids, len(before) + len(query) + len(between) if self._core.token_types[1] else len(ids)

    def encode(
        self,
        text: str,
        text_pair: str | None = None,
        *,
        add_special_tokens: bool = True,
        truncation: Truncation = None,
        max_length: int | None = None,
    ) -> list[int]:
        """Return the ids of one text or pair; all of them, special tokens included, unless told otherwise."""
        keywords: Options = {
            "add_special_tokens": add_special_tokens,
            "truncation": truncation,
            "max_length": max_length,
        }
        return self(text, text_pair, **keywords)["input_ids"]

    def count_tokens(self, texts: Iterable[str]) -> list[int]:
        """Return how many ids each text has, special tokens included and none cut."""
        return self._core.count(to_texts(texts)[0])

    def tokenize(self, text: str, pair: str | None = None, *, add_special_tokens: bool = False) -> list[str]:
        """Return the tokens of one text; a piece that the vocabulary lacks is the unknown token."""
        return [
            token or ""
            for token in self.convert_ids_to_tokens(self.encode(text, pair, add_special_tokens=add_special_tokens))
        ]

    def decode(
        self,
        token_ids: int | Iterable[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str:
        """Return the text of ids; with ``clean_up_tokenization_spaces`` no blanks before punctuation.

        Raises:
            TypeError, ValueError: something that is no id; names its place.
        """
        text = self._core.decode(_ids(token_ids), skip_special_tokens)
        clean = (
            self.clean_up_tokenization_spaces if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
        )
        for blank in _CLEANED if clean else ():
            text = text.replace(blank, blank.strip())
        return text

    def batch_decode(
        self,
        sequences: Iterable[Iterable[int]],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> list[str]:
        """Return the text of each sequence of ids, as `decode` does."""
        return [self.decode(ids, skip_special_tokens, clean_up_tokenization_spaces) for ids in sequences]

    @overload
    def convert_ids_to_tokens(self, ids: int, skip_special_tokens: bool = ...) -> str | None: ...
    @overload
    def convert_ids_to_tokens(self, ids: Iterable[int], skip_special_tokens: bool = ...) -> list[str | None]: ...
    def convert_ids_to_tokens(
        self, ids: int | Iterable[int], skip_special_tokens: bool = False
    ) -> str | list[str | None] | None:
        """Return the token of each id."""
        numbers = _ids(ids)
        if not isinstance(ids, Iterable):
            return self._core.token(numbers[0])
        left_out = set(self.all_special_ids) if skip_special_tokens else ()
        return [self._core.token(one) for one in numbers if one not in left_out]

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int | None: ...  # type: ignore[overload-overlap]
    @overload
    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int | None]: ...
    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> int | list[int | None] | None:
        """Return the id of each token; an unknown token has the id of the unknown token."""
        return self._id(tokens) if isinstance(tokens, str) else [self._id(token) for token in tokens]

    def _id(self, token: str) -> int | None:
        if not isinstance(token, str):
            raise TypeError(f"a token is {type(token).__name__}, not str")
        known = self._core.token_id(token)
        return self.unk_token_id if known is None else known

    if not TYPE_CHECKING:  # Type checkers know the attributes from above, and a misspelt one.

        def __getattr__(self, name: str) -> Any:
            role = name.removesuffix("_id")
            if role not in _ROLES:
                raise AttributeError(f"the tokenizer has no attribute {name!r}")
            token = self._roles.get(role)
            return token if token is None or role == name else self._core.token_id(token)


def _ids(ids: int | Iterable[int]) -> list[int]:
    return whole_numbers("token_ids", ids if isinstance(ids, Iterable) else [ids], _LARGEST_ID)


def _texts(text: str | Iterable[Text], pair: str | Iterable[str] | None) -> list[tuple[str, str | None]]:
    if isinstance(text, str):
        if pair is not None and not isinstance(pair, str):
            raise TypeError("text_pair of one text is one text")
        return [_checked("text", text, pair)]
    if not isinstance(text, Iterable):
        raise TypeError(f"text is {type(text).__name__}, not a str or many")
    texts = list(text)
    seconds: Sequence[str | None] = [None] * len(texts) if pair is None else list(pair)
    if isinstance(pair, str) or len(seconds) != len(texts):
        raise ValueError(f"text_pair must have as many texts as text, which has {len(texts)}")
    pairs = []
    for place, (first, second) in enumerate(zip(texts, seconds, strict=True)):
        match first, second:
            case ((one, other), None):
                pairs.append(_checked(f"text[{place}]", one, other))
            case _:
                pairs.append(_checked(f"text[{place}]", first, second))
    return pairs


def _checked(name: str, first: object, second: object) -> tuple[str, str | None]:
    for text in (first, second):
        if text is not None and not isinstance(text, str):
            raise TypeError(f"{name} is {type(text).__name__}, not a str or a pair of two")
    if not isinstance(first, str):
        raise TypeError(f"{name} is None, not a str")
    return first, second if isinstance(second, str) else None
