"""A model of ten words whose vectors are known in advance: what ``doctor`` runs where no model is at hand."""

import json
from pathlib import Path

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "doctor", "runs", "this", "##s"]
TEXT = "doctor runs"
IDS = (2, 6, 7, 3)
"""Token ids of `TEXT`, special tokens included."""

_FLOAT, _INT64 = 1, 7
_CONFIG = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "hidden_size": len(WORDS),
    "max_position_embeddings": 512,
    "vocab_size": len(WORDS),
    "pad_token_id": 0,
}


def write_tiny_model(folder: Path) -> Path:
    """Write the model's folder. Mean pooling gives equal components at the places `IDS`, and zeros elsewhere."""
    (folder / "onnx").mkdir(parents=True)
    (folder / "onnx" / "model.onnx").write_bytes(_graph())
    (folder / "config.json").write_text(json.dumps(_CONFIG), encoding="utf-8")
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer()), encoding="utf-8")
    return folder


def _tokenizer() -> dict[str, object]:
    special = {"CLS": WORDS.index("[CLS]"), "SEP": WORDS.index("[SEP]")}
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": index, "content": word, "special": True}
            | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
            for index, word in enumerate(WORDS)
            if word.startswith("[")
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "BertProcessing",
            "cls": ["[CLS]", special["CLS"]],
            "sep": ["[SEP]", special["SEP"]],
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {word: index for index, word in enumerate(WORDS)},
        },
    }


def _graph() -> bytes:
    """A serialized ``ModelProto``: a row of the identity matrix for each token, times the identity matrix."""
    graph = [
        _node("Gather", ("table", "input_ids"), "rows"),
        _node("MatMul", ("rows", "table"), "last_hidden_state"),
        _field(2, b"tiny"),
        _field(5, _identity("table", len(WORDS))),
        _field(11, _tensor_info("input_ids", _INT64, ("batch", "sequence"))),
        _field(11, _tensor_info("attention_mask", _INT64, ("batch", "sequence"))),
        _field(12, _tensor_info("last_hidden_state", _FLOAT, ("batch", "sequence", len(WORDS)))),
    ]
    ir_version, opset = _field(1, 8), _field(8, _field(1, b"") + _field(2, 17))
    return ir_version + _field(7, b"".join(graph)) + opset


def _node(operator: str, inputs: tuple[str, ...], output: str) -> bytes:
    parts = [*(_field(1, name.encode()) for name in inputs), _field(2, output.encode()), _field(4, operator.encode())]
    return _field(1, b"".join(parts))


def _identity(name: str, size: int) -> bytes:
    one, zero = b"\x00\x00\x80\x3f", b"\x00\x00\x00\x00"
    values = b"".join(one if row == column else zero for row in range(size) for column in range(size))
    return _field(1, size) + _field(1, size) + _field(2, _FLOAT) + _field(8, name.encode()) + _field(9, values)


def _tensor_info(name: str, kind: int, axes: tuple[str | int, ...]) -> bytes:
    # An axis is a number (field 1) or a name (field 2).
    shape = b"".join(_field(1, _field(1, axis) if isinstance(axis, int) else _field(2, axis.encode())) for axis in axes)
    return _field(1, name.encode()) + _field(2, _field(1, _field(1, kind) + _field(2, shape)))


def _field(number: int, value: int | bytes) -> bytes:
    """One field of a protobuf message: a varint, or bytes with their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
