"""Record transformers' ids for the cases of `tests/support/tokenizers.py`: `python -m tests.parity.record_tokenizers`.

Recorded are those of transformers 4.57.6, which needs no torch for this. With `check`, another version is compared with
what is recorded: transformers 5 differs for XLM-R, where it takes whitespace otherwise, and for tokens of `added_tokens.json`
that are special.
"""

import json
import sys
import tempfile
from pathlib import Path

from transformers import AutoTokenizer

from tests.support.tokenizers import CASES, make

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "golden" / "tokenizers.json"
MAX_LENGTH = 8


def ids_of(folder: Path, texts: list[str]) -> dict[str, list[list[int]]]:
    """Ids of all texts, whole and cut."""
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    return {
        "whole": [tokenizer(text, truncation=False, padding=False)["input_ids"] for text in texts],
        "cut": [tokenizer(text, truncation=True, max_length=MAX_LENGTH, padding=False)["input_ids"] for text in texts],
    }


def main() -> int:
    """Record, or check: 1 where anything differs."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for place, (name, (_, _, texts)) in enumerate(CASES.items()):
            found[name] = ids_of(make(name, Path(folder) / str(place)), texts)
    if sys.argv[1:] != ["check"]:
        GOLDEN.write_text(json.dumps(found, separators=(",", ":")).replace('},"', '},\n"') + "\n")
        return 0
    recorded = json.loads(GOLDEN.read_text())
    differing = [name for name in CASES if found[name] != recorded[name]]
    print(*(differing or ["all as recorded"]), sep="\n")
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main())
