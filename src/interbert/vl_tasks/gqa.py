"""GQA: signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from interbert.tasks.scoring import Scorer
from interbert.vl_tasks.example import Box, Example
from interbert.vl_tasks.left_out import LeftOut
from interbert.vl_tasks.scores import TaskScores


def read_examples(
    questions: Path | Sequence[Path],
    balanced: bool = False,
    labelled: bool | None = None,
    left_out: list[LeftOut] | None = None,
) -> list[Example]:
    raise NotImplementedError


def write_predictions(path: Path, predictions: Mapping[str, str]) -> None:
    raise NotImplementedError


def read_predictions(path: Path) -> dict[str, str]:
    raise NotImplementedError


def metrics(predictions: Mapping[str, str], examples: Sequence[Example]) -> TaskScores:
    raise NotImplementedError
