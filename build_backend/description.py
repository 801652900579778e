"""The README as a package index shows it, where links to files of this repository lead nowhere."""

import re
from pathlib import Path

_PICTURE = re.compile(r"!\[[^\]]*\]\((?!https?:)[^)]+\)\n*")
_LINK_TO_FILE = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]+\)")


def write_description(readme: Path, target: Path) -> None:
    """Write the README without such pictures, and with the words of such links alone."""
    text = _PICTURE.sub("", readme.read_text(encoding="utf-8"))
    target.write_text(_LINK_TO_FILE.sub(r"\1", text), encoding="utf-8")
