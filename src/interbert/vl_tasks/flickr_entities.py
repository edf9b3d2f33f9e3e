"""Flickr30K Entities: signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from interbert.tasks.scoring import Scorer
from interbert.vl_tasks.example import Box, Example
from interbert.vl_tasks.left_out import LeftOut
from interbert.vl_tasks.scores import TaskScores


def read_examples(folder: Path, split: str, left_out: list[LeftOut] | None = None) -> list[Example]:
    raise NotImplementedError


def write_predictions(path: Path, predictions: Mapping[str, Sequence[Box]]) -> None:
    raise NotImplementedError


def read_predictions(path: Path) -> dict[str, Sequence[Box]]:
    raise NotImplementedError


def metrics(predictions: Mapping[str, Sequence[Box]], examples: Sequence[Example]) -> TaskScores:
    raise NotImplementedError
