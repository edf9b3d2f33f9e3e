"""Every vision-and-language task: which reader, head, metric and writer it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from interbert.errors import SourceError
from interbert.vl_tasks import flickr_entities, gqa, nlvr, refcoco, snli_ve, vcr, vqa
from interbert.vl_tasks.example import Box, Example
from interbert.vl_tasks.scores import TaskScores
from interbert.vl_tasks.task import Prediction, TaskFiles, VLTask

_RANKED = 10
"""Boxes of a phrase that are written: recall is of ten at most."""


def _labels(predictions: Sequence[Prediction], examples: Sequence[Example]) -> dict[str, str]:
    return {one.id: str(said.answer) for one, said in zip(examples, predictions, strict=True)}


def _by_label(metrics: Callable[[Mapping[str, str], Sequence[Example]], TaskScores]) -> Any:
    """``score`` of a task whose metric takes a label by id."""

    def score(examples: Sequence[Example], predictions: Sequence[Prediction]) -> TaskScores:
        return metrics(_labels(predictions, examples), examples)

    return score


def _write_labels(write: Callable[[Path, Mapping[str, str]], None]) -> Any:
    """``write`` of a task whose file has a label by id."""

    def written(path: Path, examples: Sequence[Example], predictions: Sequence[Prediction]) -> None:
        write(path, _labels(predictions, examples))

    return written


def _annotations(files: TaskFiles, task: str, what: str) -> Path:
    if files.annotations is None:
        raise SourceError(f"{files.path}: {task} has a second file: {what}. Name it with --annotations.")
    return files.annotations


SNLI_VE = VLTask(
    name="snli-ve",
    head="labels",
    read=lambda files: snli_ve.read_examples(files.path),
    score=_by_label(snli_ve.metrics),
    write=_write_labels(snli_ve.write_predictions),
    read_back=snli_ve.read_predictions,
    items="hypotheses",
    labels=snli_ve.CLASSES,
)

VQA = VLTask(
    name="vqa",
    head="labels",
    read=lambda files: vqa.read_examples(files.path, files.annotations),
    score=_by_label(vqa.metrics),
    write=_write_labels(vqa.write_predictions),
    read_back=vqa.read_predictions,
    items="questions",
    soft_targets=True,
    second_file=True,
)

GQA = VLTask(
    name="gqa",
    head="labels",
    read=lambda files: gqa.read_examples(files.path),
    score=_by_label(gqa.metrics),
    write=_write_labels(gqa.write_predictions),
    read_back=gqa.read_predictions,
    items="questions",
)


def _directory(example: Example) -> str:
    """What NLVR2's validation is held out by: sentences about one set of images."""
    return str(example.details.get("directory") or example.images[0])


NLVR2 = VLTask(
    name="nlvr2",
    head="labels",
    read=lambda files: nlvr.read_examples(files.path, files.split),
    score=_by_label(nlvr.metrics),
    write=_write_labels(nlvr.write_predictions),
    read_back=nlvr.read_predictions,
    items="sentences",
    labels=("False", "True"),
    images=2,
    group_of=_directory,
    takes_split=True,
)

NLVR = replace(
    NLVR2,
    name="nlvr",
    images=1,
    write=lambda path, examples, predictions: nlvr.write_predictions(path, _labels(predictions, examples), True),
)


def _ref_boxes(predictions: Sequence[Prediction], examples: Sequence[Example]) -> dict[str, Box]:
    found: dict[str, Box] = {}
    for one, said in zip(examples, predictions, strict=True):
        assert isinstance(said.answer, tuple)
        found[one.id] = said.answer
    return found


REFCOCO = VLTask(
    name="refcoco",
    head="regions",
    read=lambda files: refcoco.read_examples(files.path, files.split),
    score=lambda examples, predictions: refcoco.metrics(_ref_boxes(predictions, examples), examples),
    write=lambda path, examples, predictions: refcoco.write_predictions(path, _ref_boxes(predictions, examples)),
    read_back=refcoco.read_predictions,
    items="expressions",
    boxes="given",
    max_text_tokens=24,
    splits=("train", "val"),
    takes_split=True,
)


def _read_phrases(files: TaskFiles) -> list[Example]:
    """Phrases, each with its sentence as the second part of the text."""
    examples = flickr_entities.read_examples(files.path, files.split or "val")
    return [replace(one, second_texts=(str(one.details["sentence"]),)) for one in examples]


def _ranked(predictions: Sequence[Prediction], examples: Sequence[Example]) -> dict[str, list[Box]]:
    """Boxes of each phrase, the most probable first."""
    found: dict[str, list[Box]] = {}
    for one, said in zip(examples, predictions, strict=True):
        order = (-said.probabilities).argsort(kind="stable")[:_RANKED]
        found[one.id] = [(float(a), float(b), float(c), float(d)) for a, b, c, d in said.boxes[order]]
    return found


FLICKR_ENTITIES = VLTask(
    name="flickr-entities",
    head="regions",
    read=_read_phrases,
    score=lambda examples, predictions: flickr_entities.metrics(_ranked(predictions, examples), examples),
    write=lambda path, examples, predictions: flickr_entities.write_predictions(path, _ranked(predictions, examples)),
    read_back=flickr_entities.read_predictions,
    items="phrases",
    primary_metric="r@1",
    splits=("train", "val"),
    merge_boxes=True,
    max_text_tokens=60,
    takes_split=True,
)


def _read_vcr(files: TaskFiles) -> list[Example]:
    """Both parts, each example told apart by its ``part``; to write the leaderboard's file, the four blind passes."""
    metadata = _annotations(files, "VCR", "the folder of images' metadata")
    answers = vcr.read_examples(files.path, "q_a", metadata)
    blind = all(one.target is None for one in answers)
    parts = {"q_a": answers}
    if not blind:
        parts["qa_r"] = vcr.read_examples(files.path, "qa_r", metadata)
    if blind or files.to_write:
        parts["qa_r_blind"] = vcr.read_examples(files.path, "qa_r_blind", metadata)
    return [replace(one, details={**one.details, "part": part}) for part, examples in parts.items() for one in examples]


def _of_part(part: str, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[Any]:
    return [pair for pair in zip(examples, predictions, strict=True) if pair[0].details["part"] == part]


def _score_vcr(examples: Sequence[Example], predictions: Sequence[Prediction]) -> TaskScores:
    answers, rationales = (_of_part(part, examples, predictions) for part in ("q_a", "qa_r"))
    right = {one.id: one.target for one, _ in rationales}
    labels = {one.id: (one.target, right[one.id]) for one, _ in answers if one.id in right}
    return vcr.metrics(
        {one.id: said.probabilities.tolist() for one, said in answers if one.id in labels},
        {one.id: said.probabilities.tolist() for one, said in rationales if one.id in labels},
        labels,
    )


def _write_vcr(path: Path, examples: Sequence[Example], predictions: Sequence[Prediction]) -> None:
    answers, rationales = (_of_part(part, examples, predictions) for part in ("q_a", "qa_r_blind"))
    numbers = vcr.joined(
        {one.id: said.probabilities.tolist() for one, said in answers},
        {(one.details["annot_id"], one.details["answer"]): said.probabilities.tolist() for one, said in rationales},
    )
    vcr.write_predictions(path, numbers)


VCR = VLTask(
    name="vcr",
    head="choices",
    read=_read_vcr,
    score=_score_vcr,
    write=_write_vcr,
    read_back=vcr.read_predictions,
    primary_metric="q_ar",
    choices_in_a_row=2,
    items="questions",
    boxes="both",
    max_text_tokens=80,
    second_file=True,
)

TASKS = {one.name: one for one in (VCR, VQA, GQA, NLVR, NLVR2, SNLI_VE, REFCOCO, FLICKR_ENTITIES)}
"""By name."""
