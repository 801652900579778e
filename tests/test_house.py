"""The house rules of ARCHITECTURE.md: who may import whom, who alone names a dependency, how long things may get."""

import ast
import re
import shutil
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.checkpoints import ROOT

PYTHON, RUST, EXPORTER = ROOT / "python" / "bge_fast", ROOT / "rust" / "src", ROOT / "export" / "src"
# A room imports rooms before it. "bge_fast" stands for the public names, which are found in any room when they are used.
PYTHON_ROOMS = (
    "_core",
    "errors",
    "known",
    "runtime",
    "opening",
    "models",
    "mapping",
    "auto",
    "bge_fast",
    "search",
    "evaluation",
    "mining",
    "merging",
    "as_flagembedding",
    "integrations",
    "server",
    "commands",
    "__main__",
)
# What these import beside the public names and themselves.
AROUND_MODELS = {
    "search": ("_core",),
    "evaluation": ("search",),
    "mining": ("search",),
    "integrations": ("known", "mapping", "runtime", "search"),
    "server": (),
}
RUST_ROOMS = (
    "error",
    "memory",
    "panics",
    "tokenizer",
    "weights",
    "kernels",
    "prepared",
    "batch",
    "outputs",
    "graph",
    "ort",
    "run",
    "search",
    "models",
    "python",
)
# Which room or file alone names a dependency.
ALONE = (
    (PYTHON, "huggingface_hub", "opening/hub.py"),
    (RUST, "tokenizers", "tokenizer"),
    (RUST, "ort", "ort"),
    (RUST, "pyo3", "python"),
    (RUST, "numpy", "python"),
)
MOST_LINES_OF_A_FILE = 300
MOST_LINES_OF_A_FUNCTION = 40


def test_no_python_file_imports_upwards():
    assert list(python_climbs(PYTHON)) == []


def test_rooms_around_the_models_take_the_public_names_alone():
    taken = {
        f"{file.relative_to(PYTHON)}: {name}"
        for room, others in AROUND_MODELS.items()
        for file in (PYTHON / room).rglob("*.py")
        for name in imports_of(file, PYTHON)
        if name.split(".")[0] not in (room, *others, "bge_fast", "errors")
    }
    assert taken == set()


def test_no_python_files_import_each_other():
    TopologicalSorter({name: imports_of(file, PYTHON) for name, file in modules(PYTHON).items()}).prepare()


def test_no_rust_file_imports_upwards():
    assert list(rust_climbs(RUST)) == []


@pytest.mark.parametrize(("tree", "dependency", "home"), ALONE)
def test_one_room_alone_names_a_dependency(tree, dependency, home):
    named = {file for file in sources(tree) if names_dependency(file, dependency)}
    assert named, f"nothing in {tree} names {dependency}"
    assert [file for file in named if room_of(file, tree) != home and file != tree / home] == []


@pytest.mark.parametrize("tree", [PYTHON, RUST, EXPORTER])
def test_files_and_functions_are_short(tree):
    files = sources(tree)
    assert files
    assert {
        str(file): lines for file in files if (lines := len(file.read_text().splitlines())) > MOST_LINES_OF_A_FILE
    } == {}
    long = [found for file in files for found in functions(file) if found[1] > MOST_LINES_OF_A_FUNCTION]
    assert long == []


@pytest.mark.parametrize(
    ("file", "planted"),
    [
        ("runtime/devices.py", "from bge_fast.opening import engine"),
        ("opening/kinds.py", "def later():\n    import bge_fast.models.dense"),
        ("models/inputs.py", "from bge_fast.commands.output import note"),
        ("errors.py", "from bge_fast import FlagModel"),
        ("opening/hub.py", "from ..models import dense"),
    ],
)
def test_a_planted_import_upwards_is_found(tmp_path, file, planted):
    tree = shutil.copytree(PYTHON, tmp_path / "bge_fast", ignore=shutil.ignore_patterns("*.so", "_ort", "__pycache__"))
    with (tree / file).open("a") as opened:
        opened.write(f"\n\n{planted}\n")
    (found,) = python_climbs(tree)
    assert found.startswith(file)


def test_a_planted_circle_is_found(tmp_path):
    for name, other in (("one", "two"), ("two", "one")):
        (tmp_path / f"{name}.py").write_text(f"def late():\n    from bge_fast import {other}\n")
    graph = {name: imports_of(file, tmp_path) for name, file in modules(tmp_path).items()}
    with pytest.raises(CycleError):
        TopologicalSorter(graph).prepare()


def test_an_import_for_type_checkers_alone_is_none(tmp_path):
    (tmp_path / "errors.py").write_text("if TYPE_CHECKING:\n    from bge_fast.models import dense\n")
    assert list(python_climbs(tmp_path)) == []


@pytest.mark.parametrize(
    ("file", "planted"),
    [
        ("weights/stored.rs", "use crate::{error::Error, ort::Session};"),
        ("weights.rs", "fn open() -> crate::models::Model {}"),
        ("ort/session.rs", "use super::super::run::Gate;"),
        ("ort.rs", "use super::{\n    run::Gate,\n    error::Error,\n};"),
        ("leftover.rs", "use crate::error::Error;"),
    ],
)
def test_a_planted_rust_import_upwards_is_found(tmp_path, file, planted):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(f"// crate::python is no import here\n{planted}\n")
    (found,) = rust_climbs(tmp_path)
    assert found.startswith(file)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("use ort::session::Session;", True),
        ("use ::ort::{sys, session::Session};", True),
        ("let api = ort::api();", True),
        ("use crate::{ort::Session, error::Error};", False),
        ("use crate::ort::Session;", False),
        ("// as ort::Session does", False),
    ],
)
def test_a_dependency_is_told_from_a_room_of_its_name(tmp_path, text, named):
    (tmp_path / "run.rs").write_text(text)
    assert names_dependency(tmp_path / "run.rs", "ort") is named


def test_the_longest_functions_are_measured(tmp_path):
    body = "    let _ = '{';\n" * 41
    (tmp_path / "a.rs").write_text(f'fn long(\n    a: &str,\n) -> String {{\n{body}}}\nfn short() {{ "}}" }}\n')
    (tmp_path / "a.py").write_text('def long(\n    a,\n):\n    """Doc.\n\n    More.\n    """\n' + "    a += 1\n" * 41)
    assert functions(tmp_path / "a.rs") == [(f"{tmp_path}/a.rs: long", 41), (f"{tmp_path}/a.rs: short", 1)]
    assert functions(tmp_path / "a.py") == [(f"{tmp_path}/a.py: long", 41)]


# ── Python ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def python_climbs(tree: Path) -> Iterator[str]:
    """Imports of rooms that do not come before a file's own, as ``file: imported module``."""
    for name, file in modules(tree).items():
        if name:  # The package's `__init__.py` is lazy.
            floor = PYTHON_ROOMS.index(name.split(".")[0])
            for imported in imports_of(file, tree):
                room = imported.split(".")[0]
                if room not in PYTHON_ROOMS or PYTHON_ROOMS.index(room) > floor:
                    yield f"{file.relative_to(tree)}: {imported}"


def modules(tree: Path) -> dict[str, Path]:
    """Files by module name, without the package's own: ``opening.hub``, ``models`` for its ``__init__.py``."""
    names = {file: ".".join(file.relative_to(tree).with_suffix("").parts) for file in sources(tree)}
    return {re.sub(r"\.?__init__$", "", name): file for file, name in names.items()}


def imports_of(file: Path, tree: Path) -> set[str]:
    """Modules of the package that a file imports anywhere, but for type checkers; ``bge_fast`` for a public name."""
    found = set()
    for node in _walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("bge_fast.") for alias in node.names if alias.name.startswith("bge_fast")}
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.add("relative import")
        elif isinstance(node, ast.ImportFrom) and re.match(r"bge_fast\b", node.module or ""):
            package = (node.module or "").removeprefix("bge_fast").removeprefix(".")
            found |= {_module(tree, package, alias.name) or "bge_fast" for alias in node.names}
    return found


def _module(tree: Path, package: str, name: str) -> str:
    inner = f"{package}.{name}".removeprefix(".")
    place = tree.joinpath(*inner.split("."))
    return inner if inner == "_core" or place.is_dir() or place.with_suffix(".py").is_file() else package


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"):
            yield from _walk(child)


# ── Rust ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

_COMMENT_OR_LITERAL = re.compile(
    r"""//[^\n]* | /\*.*?\*/ | r(\#*)".*?"\1 | "(?:\\.|[^"\\])*" | '(?:\\[^']+|[^'\\\n])'""", re.VERBOSE | re.DOTALL
)
_CRATE_PATH = re.compile(r"\b(crate|(?:super::)*super)::(\w+|\{)")
_FUNCTION = re.compile(r"\bfn (\w+)[^;{]*\{")


def rust_climbs(tree: Path) -> Iterator[str]:
    """Uses of rooms that do not come before a file's own, and files of no room, as ``file: room``."""
    for file in sources(tree):
        room, place = room_of(file, tree), file.relative_to(tree)
        if room == "lib":
            continue
        if room not in RUST_ROOMS:
            yield f"{place}: no room of the house"
            continue
        later = RUST_ROOMS[RUST_ROOMS.index(room) + 1 :]
        yield from (f"{place}: {used}" for used in rooms_used(file, tree) if used in later)


def rooms_used(file: Path, tree: Path) -> set[str]:
    """First names behind ``crate::``, and behind as many ``super::`` as lead to the crate's root."""
    code, used = _code(file), set()
    depth = len(file.relative_to(tree).with_suffix("").parts) - (file.name == "mod.rs")
    for match in _CRATE_PATH.finditer(code):
        if match[1] == "crate" or match[1].count("super") >= depth:
            used |= _first_names(code, match.start(2)) if match[2] == "{" else {match[2]}
    return used


def _first_names(code: str, start: int) -> set[str]:
    """The first name of each path in the braces that open at ``start``."""
    inner = code[start + 1 : _end_of_block(code, start)]
    while (flat := re.sub(r"\{[^{}]*\}", "", inner)) != inner:
        inner = flat
    return {name[0] for part in inner.split(",") if (name := re.findall(r"\w+", part))}


def _end_of_block(code: str, start: int) -> int:
    depth = 0
    for place in range(start, len(code)):
        depth += {"{": 1, "}": -1}.get(code[place], 0)
        if depth == 0:
            return place
    raise ValueError(f"no end of the block at {start}")


def _code(file: Path) -> str:
    """A Rust file without comments and literals, line for line."""
    return _COMMENT_OR_LITERAL.sub(lambda match: "\n" * match[0].count("\n"), file.read_text())


# ── Both ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def sources(tree: Path) -> list[Path]:
    return sorted(file for suffix in ("py", "rs") for file in tree.rglob(f"*.{suffix}"))


def room_of(file: Path, tree: Path) -> str:
    return file.relative_to(tree).with_suffix("").parts[0]


def names_dependency(file: Path, dependency: str) -> bool:
    if file.suffix == ".py":
        tree = ast.walk(ast.parse(file.read_text()))
        names = [node.module or "" for node in tree if isinstance(node, ast.ImportFrom)]
        tree = ast.walk(ast.parse(file.read_text()))
        names += [alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names]
        return any(name.split(".")[0] == dependency for name in names)
    # A room of the crate may have the same name: what is reached through the crate is taken out first.
    code = re.sub(r"\buse (crate|super)\b[^;]*;", "", _code(file))
    return re.search(rf"(?<![\w:]){dependency}::|(?<![\w>:])::{dependency}\b|\buse {dependency}\b", code) is not None


def functions(file: Path) -> list[tuple[str, int]]:
    """Each function with the lines of its body, without signature and docstring."""
    found = _python_functions(file) if file.suffix == ".py" else _rust_functions(file)
    return [(f"{file}: {name}", lines) for name, lines in found]


def _python_functions(file: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            yield node.name, body[-1].end_lineno - body[0].lineno + 1 if body else 0


def _rust_functions(file: Path) -> Iterator[tuple[str, int]]:
    code = _code(file)
    for match in _FUNCTION.finditer(code):
        body = code[match.end() : _end_of_block(code, match.end() - 1)]
        yield match[1], len(body.strip("\n").splitlines())
