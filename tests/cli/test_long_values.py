"""However long what a recipe or a command line holds, what is said of it is one line that can be read."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from interbert.cli import parser
from interbert.cli.main import main
from interbert.errors import MAX_MESSAGE, ColumnError, StorageError, UsageError, shortened

LONG = "y" * 100_000


def line(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line with which a command line is refused."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("interbert: ")
    assert shown.count("\n") == 1
    assert len(shown) < MAX_MESSAGE + 20
    return shown.strip()


@pytest.mark.parametrize(
    "words",
    [
        [LONG],
        ["index", LONG],
        ["import", LONG, "x", "y"],
        ["import", "h5", LONG, "y"],
        ["import", "h5", "x", "y", f"--{LONG}", "3"],
        ["import", "h5", "x", "y", "--limit", LONG],
        ["import", "h5", "x", "y", "--config", LONG],
        ["extract", LONG, "out"],
        ["index", "info", LONG],
        ["regions", "info", LONG],
        ["report", LONG],
    ],
)
def test_a_long_word_is_cut(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert len(line(capsys, *words)) < 1000


@pytest.mark.parametrize(
    "content",
    [
        f'limit: "{LONG}"',
        f'"{LONG}": 3',
        f'format: "{LONG}"\nsource: x\nout: y',
        f'format: h5\nsource: "{LONG}"\nout: y',
        f"limit: {{{LONG}: 3}}",
        f"limit: [{', '.join(['yyyyyyyyy'] * 9000)}]",
        f"{LONG}: [",
    ],
    ids=range(7),
)
def test_a_long_value_of_a_recipe_is_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    (tmp_path / "r.yaml").write_text(content)
    assert len(line(capsys, "import", "--config", tmp_path / "r.yaml")) < 1000


def repeated(levels: int, wide: int = 10) -> str:
    """YAML of some lines that stands for ``wide ** levels`` values."""
    lines = [f"a0: &a0 [{', '.join(['1'] * wide)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * wide)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (repeated(5), r"has more than 10,000 values or 1,048,576 characters when its repetitions"),
        (f"a: &a {LONG}\nb: [{', '.join(['*a'] * 20)}]", "has more than 10,000 values or 1,048,576 characters"),
        (
            "a: &a {k: 1}\n"
            + "\n".join(f"b{n}: &b{n} {{<<: [{', '.join([f'*b{n - 1}' if n else '*a'] * 10)}]}}" for n in range(5)),
            "has more than 10,000 values",
        ),
        ("a: &a [*a]", "is nested too deeply, or repeats itself"),
        ("a: " + "[" * 5000, "is nested too deeply, or repeats itself"),
        ("#" * (1 << 20) + "\nlimit: 3", "has more than 1,048,576 bytes"),
    ],
    ids=range(6),
)
def test_a_recipe_that_stands_for_too_much_is_refused_before_it_is_parsed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r.yaml").write_text(content)

    def parsed(*_: object) -> None:
        raise AssertionError("the recipe was parsed")

    monkeypatch.setattr(parser._Parser, "parse_args", parsed)
    started = time.monotonic()
    assert message in line(capsys, "import", "h5", "x", "y", "--config", tmp_path / "r.yaml")
    assert time.monotonic() - started < 30


def test_a_recipe_may_repeat_a_little(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.yaml").write_text(f"format: &f h5\nsource: {tmp_path}/no.h5\nout: *f\n")
    assert "there is no such file" in line(capsys, "import", "--config", tmp_path / "r.yaml")


def test_a_nul_in_a_value_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.yaml").write_text('source: "a\\0b"\nformat: h5\nout: y')
    assert "--source holds the character NUL" in line(capsys, "import", "--config", tmp_path / "r.yaml")


def test_every_error_is_cut_in_its_middle_and_stays_what_it_was() -> None:
    error = UsageError(f"before {LONG} after")
    assert len(str(error)) == MAX_MESSAGE
    assert str(error).startswith("before y")
    assert str(error).endswith("y after")
    assert str(UsageError("short")) == "short"
    assert len(str(ColumnError.missing(LONG, [LONG] * 1000, LONG))) <= MAX_MESSAGE
    assert len(str(StorageError(f"{LONG}: cannot be written"))) == MAX_MESSAGE
    assert shortened("x" * 100) == "x" * 100
    assert len(shortened("x" * 101)) == 100
