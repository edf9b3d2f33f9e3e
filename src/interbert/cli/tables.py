"""Tables on the terminal, whose texts are shown as they are."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from interbert.utils.redaction import without_credentials
from interbert.utils.terminal import printable


class TextTable(Table):
    """A rich table without rich's markup: a title ``[/b] x`` is text, and does not end something bold.

    Args:
        title: above it, URIs in it without credentials; "" for none.
        caption: below it; "" for none.
        layout: further arguments of rich's table.
    """

    def __init__(self, title: str = "", caption: str = "", **layout: Any) -> None:
        super().__init__(
            title=_text(without_credentials(title), "table.title") if title else None,
            caption=_text(caption, "table.caption") if caption else None,
            title_justify="left",
            **layout,
        )

    def add_column(self, header: Any = "", *args: Any, **layout: Any) -> None:
        """Add a column as rich does, its header as text."""
        super().add_column(_text(header), *args, **layout)

    def add_row(self, *cells: Any, **layout: Any) -> None:
        """Add a row as rich does, its cells as texts."""
        super().add_row(*map(_text, cells), **layout)


def print_table(table: TextTable, least: int = 0) -> None:
    """Print it in the terminal's width, or in so many characters where that is more: wrapped is better than cut."""
    Console(width=max(Console().width, least)).print(table)


def _text(text: object, style: str = "") -> Text:
    return Text(printable(text), style=style)
