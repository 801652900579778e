"""Shows the files that lie beside the folder `docs` as pages of the site, with links that lead there."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PAGES = ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
# What a page links to that is no page is named, not linked.
_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from the project's root."""
    for name in PAGES:
        files.append(File.generated(config, name, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Turn links between the root and `docs` into links within the site."""

    def within_site(link: re.Match[str]) -> str:
        text, target, anchor = link.groups()
        target = re.sub(r"^(\.\./|docs/)", "", target)
        known = files.get_file_from_path(target) is not None
        return f"[{text}]({target}{anchor or ''})" if known else text

    return _LINK.sub(within_site, markdown)
