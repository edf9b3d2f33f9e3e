"""What other people wrote is shown as text: it neither acts on a terminal nor ends a command."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import pytest

import interbert
from interbert.cli.tables import TextTable, print_table
from interbert.utils.terminal import printable, progress_bar, say

ROOT = Path(interbert.__file__).parent
EVIL = "[/b] [red]x[/red] \x1b[31mred\x07 \u202eexe.gpj\u2066 :smile:"
SHOWN = r"[/b] [red]x[/red] \x1b[31mred\x07 \u202eexe.gpj\u2066 :smile:"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (EVIL, SHOWN),
        ("a\nforged line\r\n\tb\u2028c\x85d", "a forged line b c d"),
        ("\x9b2J \x7f \x00 \u200f \udc80.jpg", r"\x9b2J \x7f \x00 \u200f \udc80.jpg"),
        ("连衣裙 café 👩‍👩‍👧 می‌خواهم a b", "连衣裙 café 👩‍👩‍👧 می‌خواهم a b"),
        (7, "7"),
    ],
)
def test_what_acts_on_a_terminal_is_written_out_and_all_else_stays(text: object, shown: str) -> None:
    assert printable(text) == shown


def test_lines_tables_and_bars_show_any_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    say(EVIL)
    table = TextTable(EVIL, EVIL)
    table.add_column(EVIL, no_wrap=True)
    table.add_row(EVIL)
    print_table(table, 200)
    with progress_bar(EVIL, 1, "texts", True) as advance:
        advance(1)
    shown = capsys.readouterr()
    assert shown.out.count(SHOWN) == 5
    assert SHOWN[:20] in shown.err
    assert not set("\x1b\x07\u202e\u2066") & set(shown.out + shown.err)


def test_a_bar_is_not_redrawn_in_a_file_where_colours_are_forced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as notebooks set it for the commands in their cells
    with progress_bar("scoring", 3, "pairs", shown=True) as advance:
        for _ in range(3):
            advance(1)
            time.sleep(0.15)
    shown = capsys.readouterr().err
    assert shown.count("scoring") == 1
    assert "\x1b" not in shown


def test_nothing_is_printed_past_them() -> None:
    """The command's own overview aside, every line and table goes through the two."""
    found = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "Table"):
                found.add(path.relative_to(ROOT).as_posix())
    assert found == {"utils/terminal.py", "cli/main.py"}
