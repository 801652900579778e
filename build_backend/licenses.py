"""The licence texts of the crates that are linked into the core, out of the sources that cargo compiles."""

import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

# What the project's licence expression names. Of a choice, the first one is taken; with the word that names its file.
ACCEPTED = {
    "MIT": "mit",
    "Apache-2.0": "apache",
    "BSD-2-Clause": "bsd",
    "BSL-1.0": "boost",
    "ISC": "isc",
    "MPL-2.0": "mpl",
    "Unicode-3.0": "unicode",
    "Zlib": "zlib",
}
_RULE = "\n\n" + "=" * 100 + "\n\n"

Crate = dict[str, Any]


def write_licenses(root: Path, triple: str, target: Path) -> None:
    """Write each text once, under the names of the crates that it came with where the core is built for ``triple``.

    Raises:
        SystemExit: a crate is under a licence that the project's licence expression does not name.
    """
    crates = linked_crates(root, triple)
    under: dict[str, list[str]] = defaultdict(list)
    for crate in crates:
        chosen = choose(crate)
        for text in _texts(crate, chosen) or [_text_without_file(crate, chosen, crates, root)]:
            under[text].append(f"{crate['name']} {crate['version']}: {' AND '.join(chosen)}")
    parts = ["\n".join(names) + "\n\n" + text for text, names in under.items()]
    target.write_text(_RULE.join(["Rust crates in bge_fast._core", *parts]) + "\n", encoding="utf-8")


def linked_crates(root: Path, triple: str) -> list[Crate]:
    """Packages that the core is made of, by name: normal dependencies, and theirs."""
    command = ["cargo", "metadata", "--format-version", "1", "--features", "python", "--filter-platform", triple]
    metadata = json.loads(subprocess.run(command, cwd=root, check=True, capture_output=True).stdout)
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    linked: set[str] = set()
    waiting = [metadata["resolve"]["root"]]
    while waiting:
        linked.add(now := waiting.pop())
        kinds = {one["pkg"]: {kind["kind"] for kind in one["dep_kinds"]} for one in nodes[now]["deps"]}
        waiting += [package for package, of in kinds.items() if None in of and package not in linked]
    linked.remove(metadata["resolve"]["root"])
    return sorted((one for one in metadata["packages"] if one["id"] in linked), key=lambda one: str(one["name"]))


def choose(crate: Crate) -> list[str]:
    """The licences under which a crate is used."""
    chosen = []
    for clause in re.sub("[()]", "", crate["license"]).split(" AND "):
        offered = re.split(" OR |/", clause)
        name = next((one for one in ACCEPTED if one in offered), None)
        if name is None:
            raise SystemExit(
                f"bge-fast: {crate['name']} is under {crate['license']}; name it in pyproject.toml or drop it"
            )
        chosen.append(name)
    return chosen


def _texts(crate: Crate, chosen: list[str]) -> list[str]:
    folder = Path(crate["manifest_path"]).parent
    files = [one for one in sorted(folder.iterdir()) if re.match("licen[cs]e|copying|notice", one.name, re.IGNORECASE)]
    named = [one for one in files if any(ACCEPTED[name] in one.name.lower() for name in chosen)]
    notices = [one for one in files if one.name.lower().startswith("notice")]
    unnamed = [one for one in files if not any(word in one.name.lower() for word in ACCEPTED.values())]
    return [one.read_text(encoding="utf-8").strip() for one in dict.fromkeys((named or unnamed) + notices)]


def _text_without_file(crate: Crate, chosen: list[str], crates: list[Crate], root: Path) -> str:
    """The text of a crate that was published without: MIT's in its authors' names, else the same licence of another."""
    if chosen == ["MIT"]:
        text = (root / "LICENSE").read_text(encoding="utf-8").strip()
        return re.sub("(?m)^Copyright.*$", f"Copyright (c) {', '.join(crate['authors'])}", text)
    others = (_texts(other, chosen) for other in crates if choose(other) == chosen)
    return next(texts[0] for texts in others if texts)
