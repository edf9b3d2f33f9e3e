"""Pages come from templates that escape every value, whatever it is and wherever it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

import interbert
from interbert.search.results import Results
from interbert.utils.templating import render

TEMPLATES = sorted((Path(interbert.__file__).parent / "templates").iterdir())


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_no_template_marks_a_value_as_safe(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"\|\s*safe|autoescape|Markup", text)


def test_no_code_marks_a_value_as_safe_or_writes_html() -> None:
    for file in Path(interbert.__file__).parent.rglob("*.py"):
        assert not re.search(r"Markup\(|</(div|span|p|td|li|svg|b)>", file.read_text(encoding="utf-8")), file


def test_a_value_cannot_leave_its_text_attribute_or_style() -> None:
    evil = "\"'></style><script>&\x1b\udc80"
    page = render("search.html", {evil: evil}, results=[Results(evil, [], notes=[evil])], footer=evil)
    assert "<script" not in page
    assert page.count("&#34;&#39;&gt;&lt;/style&gt;&lt;script&gt;&amp;\\x1b\ufffd") == 4


def test_a_value_that_a_template_needs_is_not_left_out_in_silence() -> None:
    with pytest.raises(UndefinedError, match="footer"):
        render("search.html", results=[])
