from __future__ import annotations

from pathlib import Path

import pytest

from interbert.errors import DataError
from interbert.report.charts import last_value, read_log


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log_history.jsonl"


def test_what_is_no_finite_number_is_left_out(log: Path) -> None:
    log.write_text('{"step": 1, "loss": NaN, "note": "a", "flag": true, "lm_loss": 2}\n\n{"step": 2}\n')
    assert read_log(log) == [{"step": 1.0, "lm_loss": 2.0}, {"step": 2.0}]
    assert last_value(read_log(log), "lm_loss") == 2.0
    assert last_value(read_log(log), "loss") is None


def test_a_last_line_that_is_being_written_is_left_out(log: Path) -> None:
    log.write_text('{"step": 1}\n{"step": 2, "lo')
    assert read_log(log) == [{"step": 1.0}]
    log.write_text('{"step": 1}\n{"step": 2}')  # all of it is there but its end
    assert read_log(log) == [{"step": 1.0}, {"step": 2.0}]
    log.write_text('{"st')
    assert read_log(log) == []
    assert read_log(log.with_name("gone")) == []


@pytest.mark.parametrize("line", ['{"step": 2, "lo', "[]", "17", "[" * 100_000])
def test_another_damaged_line_is_named(log: Path, line: str) -> None:
    log.write_text(f'{{"step": 1}}\n{line}\n{{"step": 3}}\n')
    with pytest.raises(DataError, match=r"log_history.jsonl, line 2: .* Remove the line"):
        read_log(log)


def test_what_is_no_text_is_said(log: Path) -> None:
    log.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="no text in UTF-8"):
        read_log(log)
