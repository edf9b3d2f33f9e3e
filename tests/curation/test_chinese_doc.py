"""docs/chinese.md says the same in both languages."""

import re
from pathlib import Path

from tests.documented import commands

ENGLISH, CHINESE = (Path(__file__).parents[2] / "docs/chinese.md").read_text(encoding="utf-8").split("\n---\n")
NUMBER = re.compile(r"\d[\d,.]*\d|\d")


def tables(text: str) -> list[list[list[str]]]:
    """Numbers of each row of each table, for what is translated stands around them."""
    blocks = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    return [[NUMBER.findall(line.split("|", 2)[2]) for line in block.splitlines()] for block in blocks]


def test_both_halves_have_the_same_commands_sections_and_numbers() -> None:
    assert commands(ENGLISH) == commands(CHINESE) != []
    headings = [[len(one) for one in re.findall(r"^(#+) ", text, flags=re.MULTILINE)] for text in (ENGLISH, CHINESE)]
    assert headings[0] == headings[1]
    assert tables(ENGLISH) == tables(CHINESE)
