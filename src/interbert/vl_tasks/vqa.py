"""VQA v2: signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from interbert.tasks.scoring import Scorer
from interbert.vl_tasks.example import Box, Example
from interbert.vl_tasks.left_out import LeftOut
from interbert.vl_tasks.scores import TaskScores


def read_examples(
    questions: Path, annotations: Path | None = None, answers: Sequence[str] | None = None
) -> list[Example]:
    raise NotImplementedError


def read_answers(path: Path) -> list[str]:
    """The 3,129 answers."""
    raise NotImplementedError


def write_predictions(path: Path, predictions: Mapping[str, str]) -> None:
    raise NotImplementedError


def read_predictions(path: Path) -> dict[str, str]:
    raise NotImplementedError


def metrics(predictions: Mapping[str, str], examples: Sequence[Example]) -> TaskScores:
    raise NotImplementedError
