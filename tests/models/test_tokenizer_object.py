"""``model.tokenizer``: the names, defaults and errors of Hugging Face's tokenizer object."""

import numpy as np
import pytest
import tokenizers

from bge_fast import FlagModel


@pytest.fixture(scope="module")
def hugging_face(tiny_bert):
    return tokenizers.Tokenizer.from_file(str(tiny_bert / "tokenizer.json"))


def test_vocabulary(bert, hugging_face):
    assert bert.tokenizer.vocab_size == hugging_face.get_vocab_size(with_added_tokens=False)
    assert bert.tokenizer.get_vocab() == hugging_face.get_vocab()
    assert bert.tokenizer.get_added_vocab() == {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}


def test_special_tokens(bert, xlmr, tiny_bert):
    assert bert.tokenizer.all_special_tokens == ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
    assert bert.tokenizer.all_special_ids == [1, 3, 0, 2, 4]
    assert xlmr.tokenizer.all_special_tokens == ["<s>", "</s>", "<unk>", "<pad>", "<mask>"]
    assert bert.tokenizer.name_or_path == str(tiny_bert)
    assert bert.tokenizer.model_input_names == ["input_ids", "token_type_ids", "attention_mask"]
    assert xlmr.tokenizer.model_input_names == ["input_ids", "attention_mask"]


def test_tokens_and_ids_without_special_ones(bert, hugging_face):
    text = "boundary layers, of wings"
    encoded = hugging_face.encode(text, add_special_tokens=False)
    assert bert.tokenizer.tokenize(text) == encoded.tokens
    assert bert.tokenizer(text, add_special_tokens=False)["input_ids"] == encoded.ids
    assert bert.tokenizer.encode(text, add_special_tokens=False) == encoded.ids
    assert bert.tokenizer.encode(text, add_special_tokens=False, max_length=3) == encoded.ids[:3]
    assert bert.tokenizer.tokenize(text, add_special_tokens=True) == ["[CLS]", *encoded.tokens, "[SEP]"]


def test_decoding(bert):
    ids = [bert.tokenizer.encode("wing flow"), bert.tokenizer.encode("layers")]
    assert bert.tokenizer.batch_decode(ids, skip_special_tokens=True) == ["wing flow", "layers"]
    assert bert.tokenizer.batch_decode(ids)[1].startswith("[CLS]")
    tokens = bert.tokenizer.convert_ids_to_tokens(ids[0], skip_special_tokens=True)
    assert tokens == bert.tokenizer.tokenize("wing flow")


def test_padding(bert):
    texts = ["wing", "boundary layer of wings"]
    bare = bert.tokenizer(texts)["input_ids"]
    for padding in (True, "longest"):
        padded = bert.tokenizer(texts, padding=padding)
        assert padded["input_ids"] == [bare[0] + [0] * (len(bare[1]) - len(bare[0])), bare[1]]
        assert [sum(row) for row in padded.attention_mask] == [len(row) for row in bare]
    assert [len(row) for row in bert.tokenizer(texts, padding="max_length", max_length=12).input_ids] == [12, 12]
    assert len(bert.tokenizer("wing", padding="max_length").input_ids) == bert.tokenizer.model_max_length
    arrays = bert.tokenizer(texts, padding=True, return_tensors="np")
    assert arrays["token_type_ids"].shape == arrays["input_ids"].shape == (2, len(bare[1]))
    assert bert.tokenizer("wing", return_tensors="np")["input_ids"].dtype == np.int64


@pytest.mark.parametrize("length", [None, 5, 6, 7, 9, 10, 30])
def test_pairs(bert, xlmr, length):
    pair = ("boundary layer flow over wings", "wing")
    for model in (bert, xlmr):
        reading = tokenizers.Tokenizer.from_file(f"{model.model_name_or_path}/tokenizer.json")
        if length:
            reading.enable_truncation(length)
        for first, second in (pair, pair[::-1], (pair[0], pair[0]), ("", pair[0])):
            wanted = reading.encode(first, second)
            got = model.tokenizer(first, second, max_length=length)
            assert got["input_ids"] == wanted.ids
            assert got.get("token_type_ids", wanted.type_ids) == wanted.type_ids
            assert model.tokenizer([(first, second)], max_length=length)["input_ids"] == [wanted.ids]
            assert model.tokenizer([first], [second], max_length=length)["input_ids"] == [wanted.ids]


@pytest.mark.parametrize(
    ("call", "error", "named"),
    [
        (lambda t: t.decode(-1), ValueError, "token_ids"),
        (lambda t: t.decode([5, -7]), ValueError, r"token_ids\[1\]"),
        (lambda t: t.decode([2**32]), ValueError, r"token_ids\[0\]"),
        (lambda t: t.decode(10**400), ValueError, "token_ids"),
        (lambda t: t.decode(["a"]), TypeError, r"token_ids\[0\]"),
        (lambda t: t.decode([1.5]), TypeError, r"token_ids\[0\]"),
        (lambda t: t.convert_ids_to_tokens(-1), ValueError, "token_ids"),
        (lambda t: t.convert_ids_to_tokens([True]), TypeError, "token_ids"),
        (lambda t: t.convert_tokens_to_ids("\ud800"), ValueError, "the token"),
        (lambda t: t.convert_tokens_to_ids([5]), TypeError, "token"),
        (lambda t: t("a", max_length=-1), ValueError, "max_length"),
        (lambda t: t("a", max_length="5"), TypeError, "max_length"),
        (lambda t: t("a", max_length=10**400), ValueError, "max_length"),
        (lambda t: t("\ud800"), ValueError, "surrogate"),
        (lambda t: t(5), TypeError, "text"),
        (lambda t: t(["a", 5]), TypeError, r"text\[1\]"),
        (lambda t: t([None]), TypeError, r"text\[0\]"),
        (lambda t: t(["a", "b"], ["c"]), ValueError, "text_pair"),
        (lambda t: t("a", ["b"]), TypeError, "text_pair"),
        (lambda t: t("a", padding="left"), ValueError, "padding"),
        (lambda t: t("a", truncation="only_third"), ValueError, "truncation"),
        (lambda t: t(["a", "a b"], return_tensors="np"), ValueError, "padding=True"),
        (lambda t: t("a", return_tensors="tf"), ValueError, "return_tensors"),
    ],
)
def test_errors_name_the_item(bert, call, error, named):
    with pytest.raises(error, match=named):
        call(bert.tokenizer)


def test_roles_of_the_files_that_count(own_checkpoint):
    """special_tokens_map.json says nothing where tokenizer_config.json lists tokens by id."""
    (own_checkpoint / "special_tokens_map.json").write_text('{"cls_token": "[MASK]"}')
    assert FlagModel(str(own_checkpoint)).tokenizer.cls_token == "[CLS]"
    (own_checkpoint / "tokenizer_config.json").write_text("{}")
    assert FlagModel(str(own_checkpoint)).tokenizer.cls_token == "[MASK]"
    (own_checkpoint / "special_tokens_map.json").unlink()
    assert FlagModel(str(own_checkpoint)).tokenizer.cls_token == "[CLS]"
