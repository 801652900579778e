"""The tokenizer as its file stores it, and the texts on which FlagEmbedding's differs from it."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.normalizers import BertNormalizer

from tests.parity.golden import DATA, Ids

REASONS = {
    "rebuilt-pre-tokenizer": (
        "transformers 5 replaces the stored normalizer and pre-tokenizer of sentencepiece models and treats this whitespace"
        " differently; the file as stored is the reference"
    ),
    "newer-punctuation": (
        "contains punctuation that tokenizers 0.23 does not know and tokenizers 1.0 splits off;"
        " see newer_punctuation.json"
    ),
    "length-below-specials": (
        "with a maximum length below the two special tokens FlagEmbedding does not cut at all;"
        " a drop-in gives the special tokens alone"
    ),
}


class StoredTokenizer:
    """`tokenizer.json` read by `tokenizers`, with the BERT settings of `tokenizer_config.json` on top."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        settings = read_settings(folder / "tokenizer_config.json")
        self.is_bert = isinstance(self.tokenizer.normalizer, BertNormalizer)
        self.is_rebuilt = isinstance(self.tokenizer.model, Unigram)
        if self.is_bert:
            self.tokenizer.normalizer = BertNormalizer(
                clean_text=True,
                handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
                strip_accents=settings.get("strip_accents"),
                lowercase=settings.get("do_lower_case", True),
            )

    def ids(self, text: str) -> Ids:
        """All ids of one text, special tokens included, uncut."""
        return list(self.tokenizer.encode(text).ids)

    def reason_to_exempt(self, text: str, ids: Ids) -> str | None:
        """Why FlagEmbedding's ids of this text are no reference, or None if they are."""
        if self.is_bert and any(is_newer_punctuation(char) for char in text):
            return "newer-punctuation"
        if ids == self.ids(text):
            return None
        if not self.is_rebuilt:
            raise ValueError(f"unexplained difference from the stored tokenizer: {text[:80]!a}")
        return "rebuilt-pre-tokenizer"


def read_settings(path: Path) -> dict[str, bool | None]:
    """The tokenizer's settings, none if there is no such file."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def read_newer_punctuation() -> list[tuple[int, int]]:
    """Inclusive ranges of code points."""
    ranges = json.loads((DATA / "newer_punctuation.json").read_text(encoding="ascii"))["ranges"]
    return [(int(first, 16), int(last, 16)) for first, last in ranges]


NEWER_PUNCTUATION = read_newer_punctuation()


def is_newer_punctuation(char: str) -> bool:
    """Whether tokenizers 0.23 and 1.0 disagree about this character."""
    return any(first <= ord(char) <= last for first, last in NEWER_PUNCTUATION)
