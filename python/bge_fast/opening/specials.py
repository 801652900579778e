"""Tokens around each text: `tokenizer.json` decides, and flags beside it may say otherwise."""

from pathlib import Path

from bge_fast import _core
from bge_fast.errors import warn
from bge_fast.opening.jsonfiles import read_json

_FLAGS = (("add_bos_token", "bos_token", 0), ("add_eos_token", "eos_token", -1))


def check_flags(name: str, folder: Path, core: _core.Model) -> None:
    """Warn where flags of ``tokenizer_config.json`` contradict the post-processor of ``tokenizer.json``.

    transformers 5 follows the file, and 4 the flags for Llama's and Gemma's tokenizers.
    """
    config = folder / "tokenizer_config.json"
    said = read_json(config) if config.is_file() else {}
    tokenizer = core.tokenizer
    tokens, ids = dict(tokenizer.special_tokens), tokenizer.tokenize("a", 16, special=True)
    contradicted = []
    for flag, kind, place in _FLAGS:
        token = tokens.get(kind)
        there = token is not None and ids[place] == tokenizer.token_id(token)
        if isinstance(said.get(flag), bool) and said[flag] != there:
            adds = f"adds {token}" if there else f"adds no {token or kind}"
            contradicted.append(f"tokenizer_config.json says {flag}={said[flag]}, and tokenizer.json {adds}")
    if contradicted:
        warn(f"{name}: {'; '.join(contradicted)}. Texts are tokenized as tokenizer.json says")
