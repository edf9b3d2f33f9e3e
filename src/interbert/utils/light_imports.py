"""LanceDB for a process that answers one query: without what it imports and a query never needs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

_CLIENT = "lance_namespace_urllib3_client"
_ABSENT = "pandas"
_ENGINE = "lancedb._lancedb"
"""Compiled, and not to be imported twice."""


def import_lancedb() -> None:
    """Import LanceDB in a third of the time; nothing where it is imported already, or not installed.

    LanceDB 0.40 imports the classes by which a remote catalogue is called (0.5 s of a core), and pyarrow.dataset
    imports pandas where that is installed (0.25 s). Here the first are left out, and the second is not seen. pyarrow
    then has no ``to_pandas`` in this process, so this is for the command line alone.
    """
    if "lancedb" in sys.modules or find_spec("lancedb") is None:
        return
    before = set(sys.modules)
    try:
        with _without_pandas(), _models_alone():
            import_module("lancedb")
    except Exception:  # another version that needs what was left out: from the beginning, and whole
        for name in set(sys.modules) - before - {_ENGINE}:
            if name.partition(".")[0] in ("lancedb", "lance_namespace", _CLIENT):
                del sys.modules[name]


class _Nowhere(MetaPathFinder):
    """Says of pandas that it is not installed. (None in sys.modules is no help: pyarrow 26 takes it for the module.)"""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == _ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@contextmanager
def _without_pandas() -> Iterator[None]:
    finder = _Nowhere()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def _models_alone() -> Iterator[None]:
    """In place of the client's package one whose modules can be imported, without the imports of its own file."""
    spec = find_spec(_CLIENT)
    if _CLIENT in sys.modules or spec is None or spec.submodule_search_locations is None:
        yield
        return
    package = ModuleType(_CLIENT)
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = ModuleSpec(_CLIENT, None, is_package=True)
    package.__spec__.submodule_search_locations = package.__path__
    sys.modules[_CLIENT] = package
    try:
        yield
    finally:
        if sys.modules.get(_CLIENT) is package:
            del sys.modules[_CLIENT]
