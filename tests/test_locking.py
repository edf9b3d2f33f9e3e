from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from interbert.errors import StorageError, UsageError
from interbert.locking import only_writer

HOLD = """
import sys
from interbert.locking import only_writer
with only_writer(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_has_one_writer_until_its_process_is_gone(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "store")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(UsageError, match="another command is writing it"), only_writer(tmp_path / "." / "store"):
        pass
    with only_writer(tmp_path / "another"):
        pass
    other.kill()
    other.wait()
    with only_writer(tmp_path / "store"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("taken", ["file", "link", "lock"])
def test_a_taken_place_of_the_lock_is_one_line(taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    locks = tmp_path / f"interbert-locks-{os.getuid()}"
    if taken == "file":
        locks.write_text("mine")
    elif taken == "link":
        (tmp_path / "elsewhere").mkdir()
        locks.symlink_to(tmp_path / "elsewhere")
    else:
        with only_writer(tmp_path / "store"):
            lock = next(locks.glob("*.lock"))
        lock.unlink(missing_ok=True)
        lock.mkdir()
    with pytest.raises(StorageError, match=r"Remove|TMPDIR") as caught, only_writer(tmp_path / "store"):
        pass
    assert str(locks) in str(caught.value)
    assert "\n" not in str(caught.value)
