"""The small files that go with the graphs: tokenizer, configuration, what sentence-transformers declares."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bge_fast_export.errors import CheckpointError

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
POOLING = "1_Pooling/config.json"

SIDE_FILES = (
    CONFIG,
    TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "sentencepiece.bpe.model",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    POOLING,
)

# Slow vocabularies that can be converted, and the fast tokenizer of transformers that reads each.
SLOW_TOKENIZERS = {"vocab.txt": "BertTokenizerFast", "sentencepiece.bpe.model": "XLMRobertaTokenizerFast"}

SIZE_LIMIT = 64 << 20


def check_tokenizer_present(folder: Path) -> None:
    """Raise unless the checkpoint has a tokenizer that can be written as `tokenizer.json`."""
    if not any((folder / name).is_file() for name in (TOKENIZER, *SLOW_TOKENIZERS)):
        wanted = ", ".join((TOKENIZER, *SLOW_TOKENIZERS))
        raise CheckpointError(f"{folder.name} has no tokenizer: none of {wanted} is there.")


def side_bytes(folder: Path) -> int:
    """Bytes that the side files take."""
    return sum((folder / name).stat().st_size for name in _present(folder))


def copy_side_files(folder: Path, target: Path) -> None:
    """Copy the side files as regular files and convert the tokenizer where only a slow one is there."""
    for name in _present(folder):
        source, copy = folder / name, target / name
        if source.stat().st_size > SIZE_LIMIT:
            raise CheckpointError(f"{name} is larger than {SIZE_LIMIT >> 20} MB.")
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, copy)
    if not (target / TOKENIZER).exists():
        _convert_tokenizer(folder, target / TOKENIZER)


def declared_pooling(folder: Path) -> str | None:
    """Return the pooling that `1_Pooling/config.json` names: "cls", "mean" or as found; None without one."""
    path = folder / POOLING
    if not path.is_file():
        return None
    try:
        declared: Any = json.loads(path.read_bytes())
    except ValueError as error:
        raise CheckpointError(f"{POOLING} is not valid JSON: {error}.") from error
    if not isinstance(declared, dict):
        raise CheckpointError(f"{POOLING} does not hold a JSON object.")
    prefix, names = "pooling_mode_", {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max"}
    chosen = [key.removeprefix(prefix) for key, on in declared.items() if key.startswith(prefix) and on is True]
    if not chosen and isinstance(declared.get("pooling_mode"), str):
        return str(declared["pooling_mode"])
    return "+".join(names.get(mode, mode) for mode in chosen) or None


def _present(folder: Path) -> Iterator[str]:
    return (name for name in SIDE_FILES if (folder / name).is_file())


def _convert_tokenizer(folder: Path, path: Path) -> None:
    import transformers

    slow = next(name for name in SLOW_TOKENIZERS if (folder / name).is_file())
    loader = getattr(transformers, SLOW_TOKENIZERS[slow])
    try:
        tokenizer = loader.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise CheckpointError(f"{slow} cannot be read as a vocabulary: {error}") from error
    tokenizer.backend_tokenizer.save(str(path))
