"""The README as a package index shows it: there, links to files of this repository lead nowhere."""

import re
from pathlib import Path

_LINK_TO_FILE = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]+\)")


def write_description(readme: Path, target: Path) -> None:
    """Write the README with the words of such links alone."""
    target.write_text(_LINK_TO_FILE.sub(r"\1", readme.read_text(encoding="utf-8")), encoding="utf-8")
