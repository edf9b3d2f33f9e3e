"""The verb: a table, JSON, a page whose script its own policy allows, and errors of one line."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
from tests.conftest import draw, file_bytes
from tests.search.conftest import make_model, model  # noqa: F401  fixtures

from interbert.cli.main import main


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(file_bytes(draw("red", "circle")))
    return path


def test_a_page_and_a_table(model: Path, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    page = photo.with_name("why.html")
    text = "red <b>circle</b> 红色"
    main(["explain", str(model), str(photo), text, "--page", str(page)])
    printed = capsys.readouterr().out
    assert "logit difference" in printed
    assert "region" in printed
    assert "the dual score adds" in printed
    html = page.read_text(encoding="utf-8")
    assert "<b>circle" not in html
    assert html.count('class="word"') == 9 + 2
    assert re.search(r">红</button>", html)
    assert html.count('class="region"') == 5
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    allowed = re.findall(r"script-src 'sha256-([^']+)'", html)
    assert allowed == [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()]
    assert not re.search(r"https?://", html)


def test_json(model: Path, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    main(["explain", str(model), str(photo), "red circle", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert [one["text"] for one in told["words"]] == ["red", "circle"]
    assert told["words"][0]["score_without"] is not None


@pytest.mark.parametrize(
    ("image", "text", "message"),
    [
        ("no.png", "red", "no.png"),
        ("photo.png", "\U0001f9f5", "no word that the model knows"),
        ("x.txt", "red", "x.txt"),
    ],
)
def test_errors(
    model: Path,  # noqa: F811
    photo: Path,
    image: str,
    text: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photo.with_name("x.txt").write_text("no image")
    assert main(["explain", str(model), str(photo.with_name(image)), text]) == 2
    told = capsys.readouterr().err.strip()
    assert message in told
    assert "\n" not in told
