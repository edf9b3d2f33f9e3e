from __future__ import annotations

import errno
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from interbert.errors import ConfigError, StorageError
from interbert.regions.schema import CaptionRow
from interbert.training import run_setup
from interbert.training.run_setup import one_run, open_data

FULL = OSError(errno.ENOSPC, "No space left on device")  # as TensorBoard's writer has it: without a file's name


def fail(error: BaseException) -> None:
    raise error


def run_that_fails(out: str, *others: BaseException) -> None:
    with one_run(out):
        for error in others:
            in_a_thread(error)
        raise FULL


def in_a_thread(error: BaseException) -> None:
    thread = threading.Thread(target=fail, args=(error,))
    thread.start()
    thread.join()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_full_disk_in_a_library_s_thread_is_one_line_that_names_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: said.append(args.exc_value))
    other = ValueError("no number")
    out = str(tmp_path / "out")
    with pytest.raises(StorageError) as raised:
        run_that_fails(out, FULL, other)
    assert str(raised.value).startswith(f"{out}: the disk is full.")
    assert said == [other]
    in_a_thread(FULL)
    assert said == [other, FULL]


def test_other_errors_of_a_run_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="unplugged") as raised, one_run(str(tmp_path / "out")):
        raise OSError(errno.EIO, "unplugged")
    assert type(raised.value) is OSError


@pytest.mark.parametrize(
    ("titles", "told"),
    [
        (["red shirt", "blue shirt"], "every text of the 20% of images held out"),  # each of many products
        (["red shirt"], "every text of the 20% of images held out"),
        ([], "1 pairs are too few to hold 20% out"),
    ],
)
def test_why_nothing_is_left_to_validate_on(monkeypatch: pytest.MonkeyPatch, titles: list[str], told: str) -> None:
    rows = [
        CaptionRow(row, f"i{row}", "", "", 0, row, (title,), ("title",))
        for row, title in enumerate(titles * 30 or ["alone"])
    ]
    store = SimpleNamespace(captions=lambda: rows)
    monkeypatch.setattr(run_setup.RegionStore, "open", lambda path: store)
    with pytest.raises(ConfigError, match=told):
        open_data("regions/train", None, None, 100, [], 0, {}, None)
