"""The fixed texts, or pairs of them, as padded batches of token ids."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bge_fast_export.encoder import Encoder
from bge_fast_export.errors import CheckpointError
from bge_fast_export.parity_texts import PARITY_PAIRS, PARITY_TEXTS

if TYPE_CHECKING:
    from tokenizers import Encoding  # type: ignore[import-untyped]

BATCH_SIZE = 6

Batch = dict[str, NDArray[np.int64]]


def padded_batches(encoder: Encoder, tokenizer_path: Path, length: int, *, of_pairs: bool) -> tuple[Batch, ...]:
    """Turn the texts, or the pairs, into batches of at most `length` tokens a row, padded on the right.

    Token types are for architectures that have them: in pairs of a BERT those that its tokenizer gives, else 0.
    """
    rows = _tokens(tokenizer_path, length, PARITY_PAIRS if of_pairs else PARITY_TEXTS)
    if max(max(row.ids) for row in rows) >= encoder.vocab_size:
        raise CheckpointError("The tokenizer gives ids beyond the model's vocabulary: it is another model's.")
    typed = of_pairs and encoder.architecture.types_in_pairs
    if typed and max(max(row.type_ids) for row in rows) >= encoder.token_types:
        raise CheckpointError("The tokenizer gives token types that the model does not have.")
    parts = [rows[start : start + BATCH_SIZE] for start in range(0, len(rows), BATCH_SIZE)]
    batches = [_padded(part, encoder.pad_token_id, typed) for part in parts]
    if not encoder.architecture.token_types:
        for batch in batches:
            del batch["token_type_ids"]
    return tuple(batches)


def _tokens(path: Path, length: int, texts: Sequence[str] | Sequence[tuple[str, str]]) -> list["Encoding"]:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        raise CheckpointError(f"{path.name} is not a tokenizer: {error}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(length)
    rows: list[Encoding] = tokenizer.encode_batch(list(texts))
    if not all(row.ids for row in rows):
        raise CheckpointError(f"{path.name} turns some texts into no tokens at all.")
    if max(len(row.ids) for row in rows) > length:
        raise CheckpointError(f"A maximum length of {length} leaves no room for the special tokens.")
    return rows


def _padded(rows: Sequence["Encoding"], pad: int, typed: bool) -> Batch:
    shape = (len(rows), max(len(row.ids) for row in rows))
    ids, mask, types = np.full(shape, pad, np.int64), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = row.ids
        mask[i, : len(row.ids)] = 1
        if typed:
            types[i, : len(row.ids)] = row.type_ids
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
