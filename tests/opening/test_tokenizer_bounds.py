"""A tokenizer.json is a stranger's: what is unknown in it, or out of bounds, is refused by name when it is opened."""

import base64
import json
import struct

import pytest

from bge_fast import FlagModel
from bge_fast.errors import ModelFormatError, ModelNotFoundError, UnsupportedModelError
from tests.support.checkpoints import checkpoint

REPLACE = {"type": "Replace", "pattern": {"String": "x"}, "content": "xx"}


def spoiled(folder, change):
    """Change the folder's tokenizer.json in place."""
    stored = json.loads((folder / "tokenizer.json").read_text())
    change(stored)
    (folder / "tokenizer.json").write_text(json.dumps(stored))
    return str(folder)


def vocabulary(**ids):
    return lambda stored: stored["model"].update(vocab={"[UNK]": 1, "[CLS]": 2, "[SEP]": 3, **ids})


def model(**values):
    return lambda stored: stored["model"].update(values)


def normalizers(*several):
    return lambda stored: stored.update(normalizer={"type": "Sequence", "normalizers": list(several)})


def pre_tokenizer(**value):
    return lambda stored: stored.update(pre_tokenizer=value)


def nested(stored):
    for _ in range(8):
        stored["normalizer"] = {"type": "Sequence", "normalizers": [stored["normalizer"]]}


def long_template(stored):
    stored["post_processor"]["single"] = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}] * 600


def long_special(stored):
    stored["post_processor"]["special_tokens"]["[CLS]"]["ids"] = [2] * 600


REFUSED = {
    "a huge id": (vocabulary(zz=10**9), ModelFormatError, "zz"),
    "an id of 32 bits": (vocabulary(zz=2**32 - 1), ModelFormatError, "zz"),
    "an id of more": (vocabulary(zz=2**40), ModelFormatError, "zz"),
    "a negative id": (vocabulary(zz=-1), ModelFormatError, "zz"),
    "a token of a megabyte": (vocabulary(**{"a" * 10**6: 4}), ModelFormatError, "longer than"),
    "no vocabulary": (model(vocab={}), ModelFormatError, "no vocabulary"),
    "no unknown token": (model(unk_token="[NONE]"), ModelFormatError, r"\[UNK\]"),
    "words without an end": (model(max_input_chars_per_word=10**9), ModelFormatError, "max_input_chars_per_word"),
    "replacements that double": (normalizers(*[REPLACE] * 5), ModelFormatError, "16 times"),
    "forty of them": (normalizers(*[REPLACE] * 40), ModelFormatError, "normalizer"),
    "a long replacement": (normalizers({**REPLACE, "content": "x" * 100}), ModelFormatError, "16 times"),
    "a replacement of nothing": (normalizers({**REPLACE, "pattern": {"String": ""}}), ModelFormatError, "pattern"),
    "a regular expression": (
        normalizers({**REPLACE, "pattern": {"Regex": "(a+)+$"}}),
        UnsupportedModelError,
        r"\(a\+\)\+",
    ),
    "a long prefix": (normalizers({"type": "Prepend", "prepend": "x" * 10**6}), UnsupportedModelError, "Prepend"),
    "sequences in sequences": (nested, ModelFormatError, "levels"),
    "an unknown normalizer": (normalizers({"type": "Nmt"}), UnsupportedModelError, "Nmt"),
    "an unknown pre-tokenizer": (pre_tokenizer(type="FixedLength", length=0), UnsupportedModelError, "FixedLength"),
    "scripts": (pre_tokenizer(type="UnicodeScripts"), UnsupportedModelError, "UnicodeScripts"),
    "Metaspace before WordPiece": (
        pre_tokenizer(type="Metaspace", replacement="_", prepend_scheme="first", split=True),
        UnsupportedModelError,
        "Metaspace",
    ),
    "a Split with look-ahead": (
        pre_tokenizer(type="Split", pattern={"Regex": r"a(?=b)"}, behavior="Isolated", invert=False),
        UnsupportedModelError,
        "regular expression",
    ),
    "a Split that is merged": (
        pre_tokenizer(type="Split", pattern={"Regex": r"[a-z]"}, behavior="Removed", invert=False),
        UnsupportedModelError,
        "regular expression",
    ),
    "an unknown decoder": (lambda stored: stored.update(decoder={"type": "CTC"}), UnsupportedModelError, "CTC"),
    "an unknown post-processor": (
        lambda stored: stored.update(post_processor={"type": "Other"}),
        UnsupportedModelError,
        "Other",
    ),
    "an unknown model": (model(type="Other"), UnsupportedModelError, "Other"),
    "a long template": (long_template, ModelFormatError, "special tokens"),
    "a special token of many ids": (long_special, ModelFormatError, "special tokens"),
    "another version": (lambda stored: stored.update(version="2.0"), ModelFormatError, "version"),
    "an unknown key": (lambda stored: stored.update(more=1), ModelFormatError, "more"),
    "added tokens that are null": (lambda stored: stored.update(added_tokens=None), ModelFormatError, "added_tokens"),
    "added tokens by name": (lambda stored: stored.update(added_tokens={}), ModelFormatError, "added_tokens"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(own_checkpoint, name):
    change, error, named = REFUSED[name]
    with pytest.raises(error, match=rf"(?s)tokenizer\.json.*{named}|{named}.*tokenizer\.json"):
        FlagModel(spoiled(own_checkpoint, change))


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: stored["model"].update(unk_id=None),
        lambda stored: stored["model"].update(unk_id=10**9),
    ],
)
def test_a_unigram_without_an_unknown_piece(tmp_path, change):
    folder = tmp_path / "xlmr"
    folder.mkdir()
    for file in checkpoint("tiny-xlmr").iterdir():
        if file.is_file():
            (folder / file.name).symlink_to(file)
    stored = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").unlink()
    change(stored)
    (folder / "tokenizer.json").write_text(json.dumps(stored))
    with pytest.raises(ModelFormatError, match=r"tokenizer\.json"):
        FlagModel(str(folder))


def charsmap(units, replacements, size=None):
    raw = struct.pack(f"<{len(units)}I", *units)
    return base64.b64encode(struct.pack("<I", len(raw) if size is None else size) + raw + replacements).decode()


LEAF = 1 << 8
VALUE = 1 << 31
SOUND = [0] * 256
CHARSMAPS = {
    "empty": "",
    "no base64": "!!!!",
    "longer than it is": charsmap(SOUND, b"", size=2**32 - 4),
    "no units": charsmap([], b"a\0"),
    "a step out of it": charsmap([1 << 20, *SOUND[1:]], b"a\0"),
    "a value behind the end": charsmap([LEAF | 1 << 10, VALUE | 99, *SOUND[2:]], b"a\0"),
    "a value inside of a letter": charsmap([LEAF | 1 << 10, VALUE | 1, *SOUND[2:]], "é\0".encode()),
    "a long replacement": charsmap([LEAF | 1 << 10, VALUE, *SOUND[2:]], b"a" * 10**6 + b"\0"),
}


@pytest.mark.parametrize("name", CHARSMAPS)
def test_broken_tables_of_characters(own_checkpoint, name):
    precompiled = {"type": "Precompiled", "precompiled_charsmap": CHARSMAPS[name]}
    with pytest.raises(ModelFormatError, match="precompiled_charsmap"):
        FlagModel(spoiled(own_checkpoint, normalizers(precompiled)))


def test_a_sound_table_of_characters_opens(own_checkpoint):
    precompiled = {"type": "Precompiled", "precompiled_charsmap": charsmap(SOUND, b"a\0")}
    assert FlagModel(spoiled(own_checkpoint, normalizers(precompiled))).encode(["wing"]).shape == (1, 32)


def test_without_any_vocabulary(own_checkpoint):
    (own_checkpoint / "tokenizer.json").unlink()
    (own_checkpoint / "vocab.txt").unlink()
    with pytest.raises(ModelNotFoundError, match=r"no tokenizer\.json"):
        FlagModel(str(own_checkpoint))


@pytest.mark.parametrize("name", ["[D]", "[A]", "<e1>", "x", "[Q]", "[P]", "<d>", "§"])
def test_added_tokens_print_nothing(own_checkpoint, name, capfd):
    token = {"content": name, "lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
    added = {"id": 3000, "special": True, **token}
    model = FlagModel(spoiled(own_checkpoint, lambda stored: stored["added_tokens"].append(added)))
    assert name in model.tokenizer.get_added_vocab()
    assert model.tokenizer.get_vocab()[name] in model.tokenizer.encode(f"the {name} wing")
    assert capfd.readouterr() == ("", "")
