"""What a model's files tell sentence-transformers: its steps, prompts, length and similarity."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bge_fast.errors import ModelFormatError


@dataclass(frozen=True)
class Settings:
    """How a model runs in sentence-transformers."""

    normalizes: bool = False
    """Its last step scales vectors to unit length."""
    dense: bool = False
    """Linear layers follow the pooling."""
    pools_prompt: bool = True
    """Tokens of a prompt are pooled with those of the text."""
    max_seq_length: int | None = None
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity: str | None = None


def settings_of(folder: Path) -> Settings:
    """Read the files of a model's folder; any may be missing.

    Raises:
        ModelFormatError: a file that is not JSON of the expected kind.
    """
    modules = _read(folder / "modules.json", list)
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules if isinstance(module, dict)]
    config = _read(folder / "config_sentence_transformers.json", dict)
    prompts = config.get("prompts") or {}
    return Settings(
        normalizes="Normalize" in kinds,
        dense="Dense" in kinds,
        pools_prompt=_read(folder / "1_Pooling" / "config.json", dict).get("include_prompt", True) is not False,
        max_seq_length=_read(folder / "sentence_bert_config.json", dict).get("max_seq_length"),
        prompts={name: text for name, text in prompts.items() if isinstance(text, str)},
        default_prompt_name=config.get("default_prompt_name"),
        similarity=config.get("similarity_fn_name"),
    )


def _read(file: Path, kind: type) -> Any:
    if not file.is_file():
        return kind()
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelFormatError(f"{file} is not JSON: {error!s:.80}") from error
    if not isinstance(content, kind):
        raise ModelFormatError(f"{file} holds a {type(content).__name__}, not a {kind.__name__}")
    return content
