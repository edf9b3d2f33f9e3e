from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from interbert.errors import UsageError
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
