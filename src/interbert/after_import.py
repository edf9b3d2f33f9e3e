"""Functions that run when another module is first imported, so that they need not import it themselves."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_actions: dict[str, Callable[[], None]] = {}
"""Full name of a module that is not imported yet -> what to do after it is."""


def after_import(module: str, action: Callable[[], None]) -> None:
    """Run a function once a module is imported: now if it is already, else right after its code has run.

    It runs at most once, in the thread that imports the module, before any other thread gets the module. One function
    for each module: the last one counts.

    Args:
        module: full name of the module, which need not be installed.
        action: takes nothing; what it raises, the import of the module raises.
    """
    if sys.modules.get(module) is not None:
        importlib.import_module(module)  # another thread may be in the middle of it
        action()
        return
    _actions[module] = action
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


class _Finder(MetaPathFinder):
    """Finds a module as the other finders do, and has its action run; leaves ``sys.meta_path`` after the last one."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _actions:
            return None
        for finder in [one for one in sys.meta_path if one is not self and hasattr(one, "find_spec")]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _ActingLoader(spec.loader, fullname)
                return spec
        return None


class _ActingLoader(Loader):
    """Runs a module as its own loader does, then its action. The module keeps its own loader."""

    def __init__(self, loader: Loader, module: str) -> None:
        self._loader = loader
        self._module = module

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        action = _actions.get(self._module)
        if action is not None:
            action()
            _actions.pop(self._module, None)  # not before: an import that failed can be tried again
        if not _actions and _finder in sys.meta_path:
            sys.meta_path.remove(_finder)


_finder = _Finder()
