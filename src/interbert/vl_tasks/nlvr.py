"""NLVR2 and NLVR: signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from interbert.tasks.scoring import Scorer
from interbert.vl_tasks.example import Box, Example
from interbert.vl_tasks.left_out import LeftOut
from interbert.vl_tasks.scores import TaskScores


def read_examples(path: Path, split: str | None = None, labelled: bool | None = None) -> list[Example]:
    raise NotImplementedError


def split_by_directory(examples: Sequence[Example], directories: Sequence[str]) -> tuple[list[Example], list[Example]]:
    """Examples to train on, and those of these directories to validate on."""
    raise NotImplementedError


def write_predictions(path: Path, predictions: Mapping[str, str]) -> None:
    raise NotImplementedError


def read_predictions(path: Path) -> dict[str, str]:
    raise NotImplementedError


def metrics(predictions: Mapping[str, str], examples: Sequence[Example]) -> TaskScores:
    raise NotImplementedError
