"""Finds FlagEmbedding's modules: those of the table here, others where FlagEmbedding itself is installed."""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

ROOT = "FlagEmbedding"


class Finder(MetaPathFinder):
    """Stands before all other finders, and answers for nothing but FlagEmbedding."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find one module.

        Raises:
            ModuleNotFoundError: a module of FlagEmbedding that is not in the table, and nowhere installed.
        """
        if fullname.partition(".")[0] != ROOT:
            return None
        # Numpy and the classes are imported with the table: not before somebody asks.
        from bge_fast.as_flagembedding.table import MODULES

        installed = self._installed(fullname, path, target)
        if fullname in MODULES:
            return _spec(fullname, MODULES, installed)
        if installed is None:
            # Without `name=`: `from FlagEmbedding import …` would drop the message of an error that has it.
            raise ModuleNotFoundError(
                f"there is no {fullname}: bge_fast.as_flagembedding has what FlagEmbedding offers for inference; "
                "training, evaluation and the rest need FlagEmbedding itself beside it: pip install FlagEmbedding"
            )
        return installed

    def _installed(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        """The module of FlagEmbedding itself, which is not imported."""
        others = (finder for finder in sys.meta_path if not _is_ours(finder) and hasattr(finder, "find_spec"))
        found = (finder.find_spec(fullname, path, target) for finder in others)
        return next((spec for spec in found if spec is not None), None)


def stand_first() -> None:
    """Put a finder before all others, in place of the one that stood there before a reload.

    Raises:
        ImportError: FlagEmbedding itself was imported before.
    """
    spec = getattr(sys.modules.get(ROOT), "__spec__", None)
    if ROOT in sys.modules and not _is_ours(getattr(spec, "loader", None)):
        raise ImportError(
            "FlagEmbedding was imported before bge_fast.as_flagembedding, so its classes are in use already. Make "
            "`import bge_fast.as_flagembedding` the first line of the program"
        )
    sys.meta_path[:] = [Finder(), *(finder for finder in sys.meta_path if not _is_ours(finder))]


def _is_ours(thing: object) -> bool:
    """Whether it is of this module, which may have been loaded several times."""
    return type(thing).__module__ == __name__


class Offering(Loader):
    """Loads one row of the table: its submodules first, since a name may be both, and then means the class."""

    def __init__(self, names: Mapping[str, object], submodules: Sequence[str]) -> None:
        self._names = names
        self._submodules = submodules

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module."""
        for name in self._submodules:
            import_module(name)
        module.__dict__.update(self._names, __all__=list(self._names))


def _spec(fullname: str, modules: Mapping[str, Mapping[str, object]], installed: ModuleSpec | None) -> ModuleSpec:
    submodules = [name for name in modules if name.rpartition(".")[0] == fullname]
    spec = ModuleSpec(fullname, Offering(modules[fullname], submodules), origin=__file__, is_package=bool(submodules))
    spec.has_location = True
    if submodules and installed is not None:
        # Where modules lie that the table does not have.
        spec.submodule_search_locations = list(installed.submodule_search_locations or ())
    return spec
