"""docs/behaviour.md can be checked: every row says whose behaviour it is, what is done, and which tests hold it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "behaviour.md"


def rows() -> list[tuple[str, ...]]:
    """Cells of every row of the page's tables."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        if line.startswith("|") and not set(line) <= set("|- ") and cells[-1] != "test":
            found.append(cells)
    return found


ROWS = rows()


def named_tests(cell: str) -> list[tuple[str, str]]:
    """File and function, empty where the whole file is meant, of each test that a cell names."""
    return [(file, name) for file, _, name in (one.partition("::") for one in re.findall(r"`([^`]+)`", cell))]


def test_the_page_has_rows() -> None:
    assert len(ROWS) > 90


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_a_row_names_what_behaves_so_what_we_do_and_tests_that_exist(row: tuple[str, ...]) -> None:
    assert len(row) == 5
    assert all(row), row
    named = named_tests(row[4])
    assert named, f"no test stands in the row of {row[0]}"
    for file, name in named:
        path = ROOT / file
        assert file.startswith("tests/"), file
        modules = [path] if path.suffix == ".py" else sorted(path.glob("test_*.py"))
        assert modules, f"{file} holds no tests"
        text = "".join(one.read_text(encoding="utf-8") for one in modules)
        assert re.search(rf"^ *def {name or 'test_'}", text, flags=re.MULTILINE), f"{file} has no {name or 'tests'}"


VERSIONED = re.compile(r" \d|CPython|Unicode's|SQLite|safetensors,|torch,|tokenizers,|numpy,")
"""A library is named with its version; SQLite's and full disks' behaviour is that of all of them."""


@pytest.mark.parametrize("section", re.findall(r"^## (.+)", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE))
def test_libraries_are_named_with_their_versions(section: str) -> None:
    text = PAGE.read_text(encoding="utf-8").split(f"## {section}\n")[1].split("\n## ")[0]
    if "| library |" in text:
        lines = [
            line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| library", "| -"))
        ]
        unversioned = [line.split(" | ")[0] for line in lines if not VERSIONED.search(line.split(" | ")[0])]
        assert unversioned == []
