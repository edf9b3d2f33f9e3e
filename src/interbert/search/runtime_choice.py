"""What an index's check of runtimes chose, read without torch."""

from __future__ import annotations

import logging
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from interbert.utils.bounded_files import read_json

if TYPE_CHECKING:
    from interbert.search.joint import JointRuntime

CHECK_FILE = "joint_runtime.json"
"""In the folder of an index."""

_logger = logging.getLogger(__name__)


def processor_name() -> str:
    """The model of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def checked_runtime(path: str | Path, asked: JointRuntime | None) -> JointRuntime | None:
    """The runtime of an index's joint pass.

    Args:
        path: folder or URI of the index.
        asked: for; ``auto`` and None become torch where the index's check chose that on this processor.
    """
    file = Path(path) / CHECK_FILE
    if asked not in (None, "auto") or "://" in str(path) or not file.is_file():
        return asked
    try:
        check = read_json(file)
        return "torch" if check["runtime"] == "torch" and check["processor"] == processor_name() else asked
    except (OSError, ValueError, KeyError, TypeError):
        _logger.warning(f"{file}: cannot be read, so the joint pass is computed as without it. Build the index anew.")
        return asked
