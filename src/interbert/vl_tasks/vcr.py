"""VCR: signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from interbert.tasks.scoring import Scorer
from interbert.vl_tasks.example import Box, Example
from interbert.vl_tasks.left_out import LeftOut
from interbert.vl_tasks.scores import TaskScores


def read_examples(
    path: Path,
    part: str = "q_a",
    metadata: Path | None = None,
    seed: int = 0,
    labelled: bool | None = None,
    left_out: list[LeftOut] | None = None,
) -> list[Example]:
    """``part``: q_a, qa_r (with the right answer) or qa_r_blind (four passes, ids ``ANNOT_ID/a0`` ..; details: annot_id, answer)."""
    raise NotImplementedError


def joined(
    answers: Mapping[str, Sequence[float]], rationales: Mapping[tuple[str, int], Sequence[float]]
) -> dict[str, tuple[float, ...]]:
    """The 20 numbers of each annot_id, from 4 of Q->A and 4 of each of the four QA->R passes."""
    raise NotImplementedError


def metrics(
    answers: Mapping[str, Sequence[float]],
    rationales: Mapping[str, Sequence[float]],
    labels: Mapping[str, tuple[int, int]],
) -> TaskScores:
    """q_a, qa_r, q_ar by annot_id; ``rationales`` are conditioned on the right answer."""
    raise NotImplementedError


def write_predictions(path: Path, predictions: Mapping[str, tuple[float, ...]]) -> None:
    raise NotImplementedError


def read_predictions(path: Path) -> dict[str, tuple[float, ...]]:
    raise NotImplementedError
