"""Turn a model directory into a checkpoint that the published code loads: OUT.bin, and OUT.json beside it.

What the published code has no place for (the dual encoder's projections) is left out and named.

    interbert convert to-reference models/base pytorch_model.bin
"""

from __future__ import annotations

from dataclasses import dataclass

from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert convert to-reference``."""

    model: str
    """Model directory."""
    out: str
    """Checkpoint to write (.bin); the configuration goes beside it (.json)."""


def run(options: Options) -> None:
    """Convert."""
    from pathlib import Path

    from interbert.checkpoints.convert import convert_to_reference
    from interbert.checkpoints.foreign_files import listed

    report = convert_to_reference(options.model, options.out)
    say(f"{options.out}: {report.written} tensors; configuration: {Path(options.out).with_suffix('.json')}")
    if report.dropped:
        say(f"left out, the published code has no place for them: {listed(list(report.dropped))}")
    if report.absent:
        say(f"not in this model, start random there: {listed(list(report.absent))}")
