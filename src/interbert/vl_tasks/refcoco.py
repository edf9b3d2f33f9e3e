"""RefCOCO, RefCOCO+ and RefCOCOg: signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from interbert.tasks.scoring import Scorer
from interbert.vl_tasks.example import Box, Example
from interbert.vl_tasks.left_out import LeftOut
from interbert.vl_tasks.scores import TaskScores


def read_examples(folder: Path, split: str | None = None) -> list[Example]:
    raise NotImplementedError


def ceiling(examples: Sequence[Example], candidates: Mapping[str, Sequence[Box]] | None = None) -> float:
    """Share of examples one of whose candidate boxes is right; boxes by example id, the given ones when None."""
    raise NotImplementedError


def write_predictions(path: Path, predictions: Mapping[str, Box]) -> None:
    raise NotImplementedError


def read_predictions(path: Path) -> dict[str, Box]:
    raise NotImplementedError


def metrics(predictions: Mapping[str, Box], examples: Sequence[Example]) -> TaskScores:
    raise NotImplementedError
