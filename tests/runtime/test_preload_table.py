"""Our CUDA libraries beside those that `onnxruntime.preload_dlls` loads, read from its source: which, in what order, from where."""

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest

from bge_fast.runtime import cuda
from tests.runtime.test_devices import linked_file

CUDA = "13.0"
FUNCTIONS = ("_get_nvidia_dll_paths", "_extract_cuda_major_version", "_get_cufft_version")


@pytest.fixture(scope="module")
def source() -> ast.Module:
    spec = find_spec("onnxruntime")
    assert spec is not None
    assert spec.origin is not None
    return ast.parse(Path(spec.origin).read_text())


@pytest.fixture(scope="module")
def table(source) -> list[tuple[str, ...]]:
    """Folders and name of each library for Linux, in the order in which they are loaded; nothing of the package is run but that."""
    found = [node for node in source.body if isinstance(node, ast.FunctionDef) and node.name in FUNCTIONS]
    assert {node.name for node in found} == set(FUNCTIONS)
    names: dict[str, object] = {"cuda_version": CUDA}
    exec(compile(ast.Module(found, []), "onnxruntime", "exec"), names)
    paths: list[tuple[str, ...]] = names["_get_nvidia_dll_paths"](False)
    return paths


def test_all_are_known_and_the_order_is_the_same_but_for_the_runtime_that_all_need(table, tmp_path):
    theirs = [path[-1] for path in table]
    provider = linked_file(tmp_path / cuda.PROVIDER, *theirs)
    assert cuda.needed_libraries(provider) == sorted(theirs, key=lambda name: not name.startswith("libcudart"))
    assert set(cuda._OPTIONAL) <= set(theirs)


def test_they_are_found_where_their_packages_put_them(table, tmp_path, monkeypatch):
    monkeypatch.setattr(cuda.sysconfig, "get_path", lambda name: {"purelib": str(tmp_path)}[name])
    for path in table:
        tmp_path.joinpath(*path[:-1]).mkdir(parents=True, exist_ok=True)
        tmp_path.joinpath(*path).touch()
    assert cuda.installed_libraries() == {path[-1]: tmp_path.joinpath(*path) for path in table}
    provider = linked_file(tmp_path / cuda.PROVIDER, *(path[-1] for path in table if "cudnn" not in path[-1]))
    loaded = [path.name for path in cuda.dependencies(provider)]
    assert sorted(loaded) == sorted(path[-1] for path in table)
    assert loaded[-1] == "libcudnn.so.9"


def test_packages_have_the_names_that_it_tells(source, table):
    """It lists them where it prints what is installed."""
    printing = next(
        node for node in source.body if isinstance(node, ast.FunctionDef) and node.name == "print_debug_info"
    )
    texts = [node for node in ast.walk(printing) if isinstance(node, ast.JoinedStr)]
    values = {"cuda_pkg_suffix": "", "cuda_major": CUDA.split(".", maxsplit=1)[0]}
    packages = {filled for text in texts if (filled := _filled(text, values)).startswith("nvidia-")}
    assert len(packages) >= 6
    assert {cuda.pip_package(path[-1]) for path in table} <= packages


def _filled(text: ast.JoinedStr, values: dict[str, str]) -> str:
    """A formatted string with these values in it."""
    parts = []
    for part in text.values:
        if isinstance(part, ast.Constant):
            parts.append(str(part.value))
        elif isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name):
            parts.append(values.get(part.value.id, "?"))
    return "".join(parts)
