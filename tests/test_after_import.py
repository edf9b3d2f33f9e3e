"""Functions that run when another module is first imported."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest

from interbert import auto_classes as mechanism
from interbert.auto_classes import after_import

Module = Callable[[str, str], str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Module]:
    """Writes a module and gives its name, which nothing else uses; all traces of it go after the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    waiting = dict(mechanism._actions)
    written = []

    def write(name: str, code: str) -> str:
        (tmp_path / f"{name}.py").write_text(code)
        importlib.invalidate_caches()
        written.append(name)
        return name

    yield write
    mechanism._actions.clear()
    mechanism._actions.update(waiting)
    for name in written:
        sys.modules.pop(name, None)


def test_the_function_runs_once_after_the_code(module: Module) -> None:
    name = module("after_import_one", "value = 1\n")
    seen: list[int] = []
    after_import(name, lambda: seen.append(sys.modules[name].value))
    assert seen == []
    imported = importlib.import_module(name)
    assert seen == [1]
    assert importlib.reload(imported).value == 1
    assert seen == [1]


def test_a_module_that_is_there_needs_no_waiting(module: Module) -> None:
    name = module("after_import_two", "")
    importlib.import_module(name)
    seen: list[str] = []
    after_import(name, lambda: seen.append("now"))
    assert seen == ["now"]
    assert name not in mechanism._actions


def test_the_module_keeps_its_own_loader(module: Module) -> None:
    name = module("after_import_three", "")
    after_import(name, lambda: None)
    imported = importlib.import_module(name)
    assert type(imported.__loader__).__name__ == type(imported.__spec__.loader).__name__ == "SourceFileLoader"


def test_nothing_stays_behind(module: Module) -> None:
    name = module("after_import_four", "")
    mechanism._actions.clear()
    after_import(name, lambda: None)
    assert mechanism._finder in sys.meta_path
    importlib.import_module(name)
    assert mechanism._finder not in sys.meta_path


def test_an_import_that_failed_is_tried_again(module: Module) -> None:
    name = module("after_import_five", "import sys\nif not sys.flags.after_import_five: pass\n")
    seen: list[str] = []
    after_import(name, lambda: seen.append("ran"))
    with pytest.raises(AttributeError):
        importlib.import_module(name)
    assert seen == []
    module(name, "value = 'mended, and longer'\n")
    importlib.import_module(name)
    assert seen == ["ran"]


def test_a_module_that_does_not_exist_is_not_there(module: Module) -> None:
    after_import("after_import_nowhere", lambda: None)
    assert importlib.util.find_spec("after_import_nowhere") is None
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("after_import_nowhere")


def test_looking_for_a_module_runs_nothing(module: Module) -> None:
    name = module("after_import_six", "")
    seen: list[str] = []
    after_import(name, lambda: seen.append("ran"))
    assert importlib.util.find_spec(name) is not None
    assert seen == []
    importlib.import_module(name)
    assert seen == ["ran"]


def test_threads_that_import_at_once_find_it_done(module: Module) -> None:
    name = module("after_import_seven", "import time\ntime.sleep(0.2)\ndone = []\n")
    after_import(name, lambda: sys.modules[name].done.append("ran"))
    found: list[list[str]] = []
    threads = [Thread(target=lambda: found.append(list(importlib.import_module(name).done))) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == [["ran"]] * 4
