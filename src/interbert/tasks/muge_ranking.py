"""The images of a store ranked for every text: recalled by the dual encoder, the best of them reranked jointly."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interbert.errors import DataError
from interbert.model.cascade import Cascade, best
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.processing import InterBertProcessor
from interbert.regions.store import RegionStore
from interbert.tasks.cascade import behind_candidates
from interbert.tasks.metrics import RECALL_AT, chance_recall
from interbert.tasks.muge import K, Texts
from interbert.tasks.retrieval import encode_images

_WHOLE = re.compile(r"0|[1-9][0-9]{0,17}")
"""An integer of 64 bits, as JSON writes it: of 7 and 007 no two images are made one."""
_BLOCK = 256
"""Texts whose scores with every image are held at a time."""


@dataclass(frozen=True)
class Gallery:
    """The images that every text ranks."""

    ids: tuple[int, ...]
    rows: tuple[int, ...]
    """Store row of each."""


def gallery_of(store: RegionStore) -> Gallery:
    """Every image of a store once, by its integer id.

    Raises:
        DataError: an image's id is no integer as JSON writes it, or there are fewer than ten images.
    """
    named = [(one.image_id, one.row) for one in store.captions() if one.view == 0]
    for image, row in named:
        if not _WHOLE.fullmatch(image):
            raise DataError(
                f"{store.path}, row {row}: image id {image[:40]!r} is no whole number, and predictions name images by "
                "whole numbers. Extract {split}_imgs.tsv, or a table with --image-id-column."
            )
    if len(named) < K:
        raise DataError(
            f"{store.path}: has {len(named)} images, and predictions name {K} of each text. Extract them all."
        )
    return Gallery(tuple(int(image) for image, _ in named), tuple(row for _, row in named))


def rank_gallery(
    model: InterBertForImageTextRetrieval,
    texts: Texts,
    gallery: Gallery,
    store: RegionStore,
    processor: InterBertProcessor,
    rerank: int,
    bf16: bool | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[int, tuple[int, ...]]:
    """The ten best images of every text, best first.

    Args:
        model: with a matching head; without a recall score it ranks every image jointly.
        texts: of a split.
        gallery: the images.
        store: with their regions.
        processor: the model's.
        rerank: images of a text that the joint model scores; 0 ranks by recall alone.
        bf16: score in bf16; None does where the device has it.
        progress: told how many texts are done.

    Raises:
        DataError: a score is not finite.
    """
    cascade = Cascade(model, encode_images(store, gallery.rows, processor), bf16)
    ranked: dict[int, tuple[int, ...]] = {}
    for start in range(0, len(texts.ids), _BLOCK):
        block = processor.texts_to_ids(texts.texts[start : start + _BLOCK])
        places = best(_scores(cascade, block, rerank), K)
        for text, chosen in zip(texts.ids[start : start + _BLOCK], places.tolist(), strict=True):
            ranked[text] = tuple(gallery.ids[place] for place in chosen)
        if progress is not None:
            progress(len(block))
    return ranked


def _scores(cascade: Cascade, texts: Sequence[Sequence[int]], rerank: int) -> NDArray[np.float32]:
    """Scores [t,n] in the order of which every text ranks."""
    if not cascade.can_recall:
        recalled, depth = np.zeros((len(texts), len(cascade)), dtype=np.float32), len(cascade)
    else:
        recalled, depth = cascade.recall(texts), min(rerank, len(cascade))
    if not depth:
        return recalled
    scores: NDArray[np.float32] = behind_candidates(recalled, *cascade.rerank(texts, recalled, depth))
    return scores


def chance_recalls(gallery: Gallery, answers: Mapping[int, Sequence[int]]) -> dict[str, float]:
    """Expected metrics of random orders of the gallery, from 0 to 1."""
    ids = frozenset(gallery.ids)
    right = np.array([len(ids.intersection(images)) for images in answers.values()], dtype=np.int64)
    chance = {f"r@{k}": chance_recall(right, len(gallery.ids), k) for k in RECALL_AT}
    return {**chance, "mean_recall": float(np.mean(list(chance.values())))}
