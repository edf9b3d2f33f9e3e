"""Commands that are killed (SIGKILL) at a moment that a test chooses."""

from __future__ import annotations

import signal

from tests.forked import Fork

_COMMAND = """
import os, signal, sys
from pathlib import Path
from interbert.cli.main import main
from interbert.regions.store import RegionStore
number, folders, after = int(sys.argv[1]), sys.argv[2] == "folders", sys.argv[2] == "removed"
place, seen = Path.replace, []
def killed(self, target):
    if not after and self.is_dir() == folders:
        seen.append(target)
        if len(seen) == number: os.kill(os.getpid(), signal.SIGKILL)
    return place(self, target)
Path.replace = killed
remove = RegionStore.remove
def removed(self, rows):
    if after and number == 1: os.kill(os.getpid(), signal.SIGKILL)
    remove(self, rows)
    if after: os.kill(os.getpid(), signal.SIGKILL)
RegionStore.remove = removed
sys.exit(main(sys.argv[3:]))
"""


def kill_at(number: int, what: str, *words: object) -> None:
    """Run a command line that is killed when its ``number``-th file (or folder) would take its place.

    Args:
        number: counts from 1.
        what: ``files``, ``folders``, or ``removed``: right before (1) or after (2) rows of a store are removed.
        words: of the command line.
    """
    run = Fork(_COMMAND, number, what, *words)
    output, errors = run.communicate()
    assert run.returncode == -signal.SIGKILL, output[-300:] + errors[-600:]
