from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from interbert.errors import UsageError
from interbert.utils.files import only_writer

HOLD = """
import sys
from interbert.utils.files import only_writer
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


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the folder of locks would be made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"interbert-locks-{os.getuid()}"


def test_the_folder_of_locks_is_this_users_alone(tmp_path: Path, locks: Path) -> None:
    with only_writer(tmp_path / "store"):
        pass
    assert stat.S_IMODE(locks.stat().st_mode) == 0o700
    locks.chmod(0o777)
    with only_writer(tmp_path / "store"):
        pass
    assert stat.S_IMODE(locks.stat().st_mode) == 0o700


@pytest.mark.parametrize("kind", ["file", "link", "lost link", "somebody else's"])
def test_what_others_prepared_under_its_name_is_refused(
    tmp_path: Path, locks: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    if kind == "file":
        locks.write_text("mine")
    elif kind == "somebody else's":
        locks.mkdir()
        owner = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: owner + 1)
        locks.rename(tmp_path / f"interbert-locks-{owner + 1}")
    else:
        locks.symlink_to(tmp_path / ("other" if kind == "link" else "nowhere"))
    message = r"interbert-locks-\d+: locks are kept there, and it is no folder of yours"
    with pytest.raises(UsageError, match=message), only_writer(tmp_path / "store"):
        pass
    assert not list((tmp_path / "other").iterdir())
    assert kind != "file" or locks.read_text() == "mine"


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_lock_that_is_no_file_is_refused(tmp_path: Path, locks: Path, kind: str) -> None:
    with only_writer(tmp_path / "store"):
        (file,) = locks.glob("*.lock")
        file.unlink()
    victim = tmp_path / "victim"
    victim.write_text("kept")
    file.symlink_to(victim) if kind == "link" else file.mkdir()
    message = r"\.lock: is no regular file; locks are kept there. Remove it"
    with pytest.raises(UsageError, match=message), only_writer(tmp_path / "store"):
        pass
    assert victim.read_text() == "kept"
