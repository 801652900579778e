"""Token ids against Hugging Face's `tokenizers` on the stored files, and the rules that lie on top of them."""

import json
import random
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from bge_fast import FlagModel
from bge_fast.errors import ModelFormatError, UnsupportedModelError
from tests.parity import golden
from tests.parity.cases import RELATIVES
from tests.support.checkpoints import checkpoint, edit_json

ALPHABET = "aZ é ñ ß ı İ ﬁ ½ ① 你好 한글 ไทย देव ا ب א 🙂👨‍👩‍👧 \t\n\r\xa0\u200b\u3000 .,;:!?-_/\\'\"()[]{}<>@#$%^&*+=~`|ＡＢ１２"
SPECIALS = [
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[PAD]",
    "[UNK]",
    "<s>",
    "</s>",
    "<pad>",
    "<unk>",
    "<mask>",
    " <mask> ",
    "  <mask>",
]


def random_texts(count: int, seed: int = 5) -> list[str]:
    rng = random.Random(seed)
    words = ["wing", "Flow", "naïve", "机翼", "ГАЗ", "x1y2", *SPECIALS]
    pieces = [lambda: rng.choice(ALPHABET) * rng.choice((1, 1, 1, 3)), lambda: rng.choice(words), lambda: " "]
    return ["".join(rng.choice(pieces)() for _ in range(rng.randint(0, 60))) for _ in range(count)]


def reference(folder: Path, **normalizer: object) -> tokenizers.Tokenizer:
    stored = json.loads((folder / "tokenizer.json").read_text())
    stored.update(padding=None, truncation=None)
    if normalizer:
        stored["normalizer"] = {"type": "BertNormalizer", "clean_text": True, **normalizer}
    return tokenizers.Tokenizer.from_str(json.dumps(stored))


def assert_same_ids(model: FlagModel, wanted: tokenizers.Tokenizer, texts: list[str]) -> None:
    for text in texts:
        assert model.tokenizer(text, truncation=False)["input_ids"] == wanted.encode(text).ids, repr(text)


@pytest.fixture
def own_xlmr(tiny_xlmr, tmp_path) -> Path:
    return shutil.copytree(tiny_xlmr, tmp_path / "xlmr")


@pytest.mark.parametrize(
    "name",
    ["tiny-bert", "tiny-xlmr", *(f"tiny-{name}" for name in RELATIVES), "bge-small-en-v1.5", "bge-small-zh-v1.5"],
)
def test_random_texts(name):
    folder = checkpoint(name)
    cased = {"lowercase": True, "strip_accents": None, "handle_chinese_chars": True}
    wanted = reference(folder, **({} if name.startswith("tiny") else cased))
    assert_same_ids(FlagModel(str(folder)), wanted, random_texts(3000))


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize(("said", "stored_space"), list(product([True, False, None], [True, False])))
def test_the_space_before_a_text_follows_tokenizer_config(tmp_path, said, stored_space, normalized):
    folder = shutil.copytree(checkpoint("tiny-roberta"), tmp_path / "roberta")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["add_prefix_space"]
    (folder / "tokenizer_config.json").write_text(
        json.dumps(config if said is None else {**config, "add_prefix_space": said})
    )
    stored = json.loads((folder / "tokenizer.json").read_text())
    stored["added_tokens"][-1]["normalized"] = normalized
    stored["pre_tokenizer"]["add_prefix_space"] = bool(said)
    wanted = tokenizers.Tokenizer.from_str(json.dumps(stored))
    stored["pre_tokenizer"]["add_prefix_space"] = stored_space
    (folder / "tokenizer.json").write_text(json.dumps(stored))
    texts = [*random_texts(1000), *golden.load_texts().values()]
    assert_same_ids(FlagModel(str(folder)), wanted, texts)


@pytest.mark.parametrize("normalized", [True, False])
def test_xlm_r_with_whitespace_split_and_metaspace(own_xlmr, normalized):
    """The form in which most published XLM-R tokenizers are stored."""
    stored = json.loads((own_xlmr / "tokenizer.json").read_text())
    stored["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [{"type": "WhitespaceSplit"}, stored["pre_tokenizer"]],
    }
    stored["normalizer"] = stored["normalizer"]["normalizers"][0]
    stored["added_tokens"][-1]["normalized"] = normalized
    (own_xlmr / "tokenizer.json").write_text(json.dumps(stored))
    config = json.loads((own_xlmr / "tokenizer_config.json").read_text())
    config["added_tokens_decoder"]["2084"]["normalized"] = normalized
    (own_xlmr / "tokenizer_config.json").write_text(json.dumps(config))
    texts = [*random_texts(2000), *golden.load_texts().values()]
    assert_same_ids(FlagModel(str(own_xlmr)), reference(own_xlmr), texts)


@pytest.mark.parametrize(
    ("lower", "strip", "chinese"), list(product([True, False], [True, False, None], [True, False]))
)
def test_bert_casing_follows_tokenizer_config(own_checkpoint, lower, strip, chinese):
    edit_json(
        own_checkpoint / "tokenizer_config.json",
        do_lower_case=lower,
        strip_accents=strip,
        tokenize_chinese_chars=chinese,
    )
    wanted = reference(own_checkpoint, lowercase=lower, strip_accents=strip, handle_chinese_chars=chinese)
    assert_same_ids(FlagModel(str(own_checkpoint)), wanted, ["Größe É 你好wing", "ÀÇÑ ça", *random_texts(200)])


@pytest.mark.parametrize("present", [True, False])
def test_bert_lower_cases_unless_told_otherwise(own_checkpoint, present):
    stored = json.loads((own_checkpoint / "tokenizer.json").read_text())
    stored["normalizer"]["lowercase"] = False
    (own_checkpoint / "tokenizer.json").write_text(json.dumps(stored))
    if present:
        (own_checkpoint / "tokenizer_config.json").write_text("{}")
    else:
        (own_checkpoint / "tokenizer_config.json").unlink()
    tokenizer = FlagModel(str(own_checkpoint)).tokenizer
    assert tokenizer("WING Flow")["input_ids"] == tokenizer("wing flow")["input_ids"]


def test_baked_padding_and_truncation_are_ignored(own_checkpoint, bert):
    reading = tokenizers.Tokenizer.from_file(str(own_checkpoint / "tokenizer.json"))
    reading.enable_padding(length=64)
    reading.enable_truncation(max_length=5)
    reading.save(str(own_checkpoint / "tokenizer.json"))
    text = "boundary layer flow over a wing at high speed"
    assert FlagModel(str(own_checkpoint)).tokenizer(text) == bert.tokenizer(text)


def test_truncation_side(own_checkpoint, bert):
    edit_json(own_checkpoint / "tokenizer_config.json", truncation_side="left")
    text = "boundary layer flow over a wing at high speed"
    ids = bert.tokenizer(text)["input_ids"]
    cut = FlagModel(str(own_checkpoint)).tokenizer(text, max_length=6)["input_ids"]
    assert cut == [ids[0], *ids[-5:]]


def test_the_object_that_callers_know(bert, xlmr):
    assert len(bert.tokenizer) == bert.model.config.vocab_size
    assert len(xlmr.tokenizer) == xlmr.model.config.vocab_size
    assert bert.tokenizer.special_tokens_map["cls_token"] == "[CLS]"
    assert (xlmr.tokenizer.pad_token, xlmr.tokenizer.pad_token_id) == ("<pad>", 1)
    assert bert.tokenizer.bos_token is None
    assert bert.tokenizer.bos_token_id is None
    ids = bert.tokenizer.encode("wing flow")
    assert bert.tokenizer.convert_ids_to_tokens(ids)[0] == "[CLS]"
    assert bert.tokenizer.convert_tokens_to_ids(bert.tokenizer.convert_ids_to_tokens(ids)) == ids
    assert bert.tokenizer.convert_tokens_to_ids("no such token") == bert.tokenizer.unk_token_id
    assert bert.tokenizer.decode(ids, skip_special_tokens=True) == "wing flow"
    assert bert.tokenizer.decode(np.array(ids), skip_special_tokens=True) == "wing flow"
    assert bert.tokenizer.decode(np.int32(ids[1])) == bert.tokenizer.decode(ids[1]) == "wing"
    many = bert.tokenizer(["wing", "wing flow"])
    assert [len(row) for row in many["input_ids"]] == [len(row) for row in many["attention_mask"]]
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = bert.tokenizer.no_such_thing


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t["model"].update(vocab={}),
        lambda t: t["model"].update(type="Unknown"),
        lambda t: t.update(post_processor={"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "gone"}}]}),
        lambda t: t.update(added_tokens=[{"id": "x"}]),
        lambda t: t.update(model=None),
        lambda t: t["model"]["vocab"].update({"wing": -4}),
    ],
)
def test_a_spoiled_tokenizer_is_refused_or_harmless(own_checkpoint, spoil):
    stored = json.loads((own_checkpoint / "tokenizer.json").read_text())
    spoil(stored)
    (own_checkpoint / "tokenizer.json").write_text(json.dumps(stored))
    with pytest.raises((ModelFormatError, UnsupportedModelError), match=r"tokenizer\.json"):
        FlagModel(str(own_checkpoint))
