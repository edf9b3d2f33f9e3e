"""What every vision-and-language task reads its official files into. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels of the image."""


@dataclass(frozen=True)
class Example:
    """One question, sentence or phrase of a task: what a model reads of it, and what is right.

    Attributes:
        id: of the official file: question_id, annot_id, identifier, pairID, sent_id ...
        images: ids of the images it is about, as the file says them; two of NLVR2, otherwise one.
        texts: what is read: one, or one for each choice (VCR).
        second_texts: of a text of two parts, the second (segment 1) of each of ``texts``; empty where there is none.
        boxes: boxes that the file gives with the image: VCR's objects, RefCOCO's candidates; in the file's order.
        target: what is right, by the head of the task; None in a blind test.
            labels: score of each label, ``{"yes": 1.0, "no": 0.3}``.
            choices: the number of the right choice.
            regions: the right boxes; a region is right by IoU with one of them.
        details: whatever else the task's metric needs: groups, question types, all ten answers. ``image_names``, where
            it is there, has for each of ``images`` what else it is called, the likeliest first.
    """

    id: str
    images: tuple[str, ...]
    texts: tuple[str, ...]
    second_texts: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    target: Mapping[str, float] | int | Sequence[Box] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
