"""Tokenizer files with one change each. Their ids by transformers are recorded in `tests/data/golden/tokenizers.json`."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.checkpoints import checkpoint

Files = dict[str, Any]
"""The contents of JSON files by name; `None` for a file that is taken away."""

BERT_TEXTS = [
    "the <TERM> wing",
    "the<TERM>wing",
    "THE <term> WING",
    "abcproto flow",
    "myabcproto x",
    "<TERM><TERM>",
    "a  <TERM>  b",
    "boundary layer of wings",
    "Boundary  Layer",
    "Heat CAFÉ Éclair wing 机翼",
    "",
]
XLMR_TEXTS = [
    "see foo bar here",
    "seefoo barhere",
    "see  foo bar  here",
    "foo bar",
    "see foo  bar here",
    "see FOO BAR here, foo barfoo bar",
    "a <TERM> b<TERM>c",
    "typed <mask> and<mask>.",
    "</s> ab",
    "",
]


def token(content: str, **flags: bool) -> dict[str, Any]:
    """An added token as files describe it."""
    plain = dict.fromkeys(("lstrip", "rstrip", "single_word", "normalized"), False)
    return {"content": content, **plain, "special": True, **flags}


def _in_tokenizer(*tokens: dict[str, Any]) -> Callable[[Files], None]:
    def edit(files: Files) -> None:
        stored = files["tokenizer.json"]
        first = max(one["id"] for one in stored["added_tokens"]) + 1
        first = max(first, len(stored["model"]["vocab"]))
        stored["added_tokens"] += [{"id": first + place, **one} for place, one in enumerate(tokens)]
        listed = files["tokenizer_config.json"]["added_tokens_decoder"]
        listed |= {str(first + place): one for place, one in enumerate(tokens)}

    return edit


def _in_decoder(*tokens: dict[str, Any], first: int = 3000) -> Callable[[Files], None]:
    def edit(files: Files) -> None:
        listed = files["tokenizer_config.json"]["added_tokens_decoder"]
        listed |= {str(first + place): one for place, one in enumerate(tokens)}

    return edit


def _in_added_tokens(files: Files) -> None:
    del files["tokenizer_config.json"]["added_tokens_decoder"]
    files["added_tokens.json"] = {"<TERM>": 3000, "abcproto": 3001}
    files["special_tokens_map.json"]["additional_special_tokens"] = ["<TERM>"]


def _decoder_instead_of_added_tokens(files: Files) -> None:
    files["added_tokens.json"] = {"abcproto": 3000}
    _in_decoder(token("<TERM>"))(files)


def _additional(name: str, *, listed: bool = True) -> Callable[[Files], None]:
    def edit(files: Files) -> None:
        if not listed:
            del files["tokenizer_config.json"]["added_tokens_decoder"]
        files[name]["additional_special_tokens"] = ["<TERM>", "abcproto"]

    return edit


def _flags_differ(files: Files) -> None:
    _in_tokenizer(token("abcproto"))(files)
    files["tokenizer_config.json"]["added_tokens_decoder"]["3000"] = token("abcproto", lstrip=True, rstrip=True)


def _own_mask(files: Files) -> None:
    files["tokenizer_config.json"]["mask_token"] = "<TERM>"
    files["special_tokens_map.json"]["mask_token"] = "<TERM>"


def _role_with_flags(files: Files) -> None:
    files["tokenizer_config.json"]["mask_token"] = {"__type": "AddedToken", **token("<TERM>", lstrip=True)}


def _class(name: str | None, **normalizer: bool | None) -> Callable[[Files], None]:
    def edit(files: Files) -> None:
        kept = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": False, "strip_accents": False}
        files["tokenizer.json"]["normalizer"] = {**kept, "lowercase": False, **normalizer}
        vocabulary = files["tokenizer.json"]["model"]["vocab"]
        for new, old in zip(("Heat", "CAFÉ", "Éclair", "机翼"), list(vocabulary)[-4:], strict=True):
            vocabulary[new] = vocabulary.pop(old)
        config = files["tokenizer_config.json"]
        config.pop("tokenizer_class")
        if name:
            config["tokenizer_class"] = name

    return edit


def _class_in_config(files: Files) -> None:
    _class(None)(files)
    files["config.json"]["tokenizer_class"] = "PreTrainedTokenizerFast"


def _cased_by_config(files: Files) -> None:
    _class("BertTokenizer", lowercase=True)(files)
    files["tokenizer_config.json"] |= {"do_lower_case": False, "strip_accents": False}


def _cut_left(files: Files) -> None:
    files["tokenizer.json"]["truncation"] = {
        "direction": "Left",
        "max_length": 4,
        "strategy": "LongestFirst",
        "stride": 1,
    }


def _vocabulary_alone(**config: Any) -> Callable[[Files], None]:
    def edit(files: Files) -> None:
        files["tokenizer.json"] = None
        files["tokenizer_config.json"] |= config

    return edit


def _vocabulary_and_nothing(files: Files) -> None:
    files.update({name: None for name in files if name.startswith(("tokenizer", "special"))})


def _vocabulary_and_added_tokens(files: Files) -> None:
    files["tokenizer.json"] = None
    _in_added_tokens(files)


def _word_level(files: Files) -> None:
    stored = files["tokenizer.json"]
    stored["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}
    stored["pre_tokenizer"] = {"type": "Whitespace"}
    stored["decoder"] = None
    stored["model"] = {"type": "WordLevel", "vocab": stored["model"]["vocab"], "unk_token": "[UNK]"}
    files["tokenizer_config.json"]["tokenizer_class"] = "PreTrainedTokenizerFast"


CASES: dict[str, tuple[str, Callable[[Files], None], list[str]]] = {
    "listed in tokenizer_config.json": ("tiny-bert", _in_decoder(token("<TERM>")), BERT_TEXTS),
    "several listed": ("tiny-bert", _in_decoder(token("<TERM>"), token("abcproto", special=False)), BERT_TEXTS),
    "listed, taking blanks": ("tiny-bert", _in_decoder(token("<TERM>", lstrip=True, rstrip=True)), BERT_TEXTS),
    "listed, single word": ("tiny-bert", _in_decoder(token("abcproto", single_word=True)), BERT_TEXTS),
    "listed, normalized": ("tiny-bert", _in_decoder(token("<TERM>", normalized=True, special=False)), BERT_TEXTS),
    "listed, several words": ("tiny-bert", _in_decoder(token("boundary layer", normalized=True)), BERT_TEXTS),
    "listed, of the vocabulary": ("tiny-bert", _in_decoder(token("wing")), BERT_TEXTS),
    "listed under another id": ("tiny-bert", _in_decoder(token("<TERM>"), first=3007), BERT_TEXTS),
    "added_tokens.json": ("tiny-bert", _in_added_tokens, BERT_TEXTS),
    "added_tokens.json beside a list": ("tiny-bert", _decoder_instead_of_added_tokens, BERT_TEXTS),
    "additional in tokenizer_config.json": ("tiny-bert", _additional("tokenizer_config.json"), BERT_TEXTS),
    "additional in special_tokens_map.json": (
        "tiny-bert",
        _additional("special_tokens_map.json", listed=False),
        BERT_TEXTS,
    ),
    "additional in special_tokens_map.json, not read": (
        "tiny-bert",
        _additional("special_tokens_map.json"),
        BERT_TEXTS,
    ),
    "other flags in tokenizer_config.json": ("tiny-bert", _flags_differ, BERT_TEXTS),
    "a role's own token": ("tiny-bert", _own_mask, BERT_TEXTS),
    "a role's own token with flags": ("tiny-bert", _role_with_flags, BERT_TEXTS),
    "XLM-R, several words": ("tiny-xlmr", _in_tokenizer(token("foo bar", normalized=True)), XLMR_TEXTS),
    "XLM-R, several words, not special": (
        "tiny-xlmr",
        _in_tokenizer(token("foo bar", normalized=True, special=False)),
        XLMR_TEXTS,
    ),
    "XLM-R, several words, lstrip": (
        "tiny-xlmr",
        _in_tokenizer(token("foo bar", normalized=True, lstrip=True)),
        XLMR_TEXTS,
    ),
    "XLM-R, several words, rstrip": (
        "tiny-xlmr",
        _in_tokenizer(token("foo bar", normalized=True, rstrip=True)),
        XLMR_TEXTS,
    ),
    "XLM-R, several words, single": (
        "tiny-xlmr",
        _in_tokenizer(token("foo bar", normalized=True, single_word=True)),
        XLMR_TEXTS,
    ),
    "XLM-R, raw": ("tiny-xlmr", _in_tokenizer(token("<TERM>"), token("foo bar", rstrip=True)), XLMR_TEXTS),
    "XLM-R, listed": ("tiny-xlmr", _in_decoder(token("<TERM>"), first=2085), XLMR_TEXTS),
    "as stored: PreTrainedTokenizerFast": ("tiny-bert", _class("PreTrainedTokenizerFast"), BERT_TEXTS),
    "as stored: by config.json": ("tiny-bert", _class_in_config, BERT_TEXTS),
    "overridden: BertTokenizerFast": ("tiny-bert", _class("BertTokenizerFast"), BERT_TEXTS),
    "overridden: ElectraTokenizer": ("tiny-bert", _class("ElectraTokenizer"), BERT_TEXTS),
    "overridden: DistilBertTokenizer": ("tiny-bert", _class("DistilBertTokenizer"), BERT_TEXTS),
    "overridden: no class": ("tiny-bert", _class(None), BERT_TEXTS),
    "cased by tokenizer_config.json": ("tiny-bert", _cased_by_config, BERT_TEXTS),
    "vocab.txt": ("tiny-bert", _vocabulary_alone(), BERT_TEXTS),
    "vocab.txt, cased": ("tiny-bert", _vocabulary_alone(do_lower_case=False), BERT_TEXTS),
    "vocab.txt, other roles": ("tiny-bert", _vocabulary_alone(cls_token="[MASK]", mask_token="[CLS]"), BERT_TEXTS),
    "vocab.txt and no other file": ("tiny-bert", _vocabulary_and_nothing, BERT_TEXTS),
    "vocab.txt and added_tokens.json": ("tiny-bert", _vocabulary_and_added_tokens, BERT_TEXTS),
    "sentencepiece.bpe.model": ("tiny-xlmr", _vocabulary_alone(), XLMR_TEXTS),
    "sentencepiece.bpe.model and no other file": ("tiny-xlmr", _vocabulary_and_nothing, XLMR_TEXTS),
    "WordLevel": ("tiny-bert", _word_level, BERT_TEXTS),
    "cut on the left": ("tiny-bert", _cut_left, BERT_TEXTS),
}


def make(name: str, folder: Path) -> Path:
    """The folder of a case: a tiny checkpoint with its change."""
    source, edit, _ = CASES[name]
    shutil.copytree(checkpoint(source), folder)
    files = {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}
    edit(files)
    for file, content in files.items():
        if content is None:
            (folder / file).unlink()
        else:
            (folder / file).write_text(json.dumps(content, ensure_ascii=False))
    return folder
