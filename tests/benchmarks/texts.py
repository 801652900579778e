"""The texts that are timed: Cranfield's where they are, else generated ones of the same lengths."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from pathlib import Path

import cranfield

# 12 tokens with [CLS] and [SEP] in BERT's English vocabulary.
QUERY = "how does heat flow through a very thin metal plate"
# Mostly one token each, so that a generated text has about as many tokens as words.
_WORDS = """
    the of a in and is for to by with on at an are from as be which that flow pressure boundary layer surface theory
    method heat wing speed number plate body shock velocity temperature results case stress solution high low wave
    supersonic equation experimental distribution ratio effect large small given found between edge field point line
"""
_MEAN_WORDS = 228
_SPREAD = 0.5


@dataclass(frozen=True)
class Texts:
    """Passages to encode in bulk, and what they are."""

    passages: list[str]
    origin: str


def load(folder: Path, count: int) -> Texts:
    """The first `count` passages of Cranfield, or generated ones if it is not in `folder`."""
    if cranfield.is_there(folder):
        return Texts(cranfield.load(folder).passages[:count], f"first {count} Cranfield abstracts, title and text")
    return Texts(generate(count), f"{count} generated texts (Cranfield is not on this machine)")


def generate(count: int) -> list[str]:
    """Texts of common words whose lengths spread like those of abstracts; the same every time."""
    source = random.Random(1400)
    lengths = [round(min(_MEAN_WORDS * source.lognormvariate(-(_SPREAD**2) / 2, _SPREAD), 600)) for _ in range(count)]
    return [" ".join(source.choices(_WORDS.split(), k=max(length, 5))) for length in lengths]


def mixed(count: int, least: int = 8, most: int = 512) -> list[str]:
    """Texts of common words whose tokens, with the special ones, go from `least` to `most`, as many of each order of length."""
    source = random.Random(8512)
    spread = math.log(most / least)
    lengths = [round(least * math.exp(spread * index / max(count - 1, 1))) - 2 for index in range(count)]
    source.shuffle(lengths)
    return [" ".join(source.choices(_WORDS.split(), k=length)) for length in lengths]


def token_counts(passages: list[str], folder: Path, most: int = 512) -> list[int]:
    """Tokens of each passage, special ones included, by the tokenizer in `folder`."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(most)
    tokenizer.no_padding()
    return [len(encoding.ids) for encoding in tokenizer.encode_batch(passages)]


def first_halves(passages: list[str]) -> list[str]:
    """The first half of each text's words. The small vocabulary of random checkpoints cuts a word of Cranfield into 2.5
    tokens in the mean, XLM-R's into about 1.3: so the number of tokens is about what XLM-R would make of the whole."""
    return [" ".join(words[: -(-len(words) // 2)]) for words in map(str.split, passages)]


def of_at_least(tokens: int, count: int) -> list[str]:
    """Generated texts that have more tokens than that, whatever the vocabulary."""
    words = [word for text in generate(count * (tokens // 100 + 1)) for word in text.split()]
    return [" ".join(words[index * tokens : (index + 1) * tokens]) for index in range(count)]
