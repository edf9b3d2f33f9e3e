"""Which pairs of image and title agree, by a model's vectors, without a threshold of similarity.

A cosine means another thing in every category and of every model: shoes are all alike, and so are their titles. Ranks
among other pairs do not have this scale.

Shapes: N rows, D vector size, B rows of a block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from interbert.errors import ConfigError, UsageError, require_range

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

RULES = {"mutual": "image_and_title_disagree", "share": "agreement_in_lowest_share"}
"""Rule of each method, as reports count what it drops."""
_EQUAL = 1e-5
"""Products of the same two vectors differ by so much from one order of summation to another."""
_AT_ONCE = 1 << 14
"""Rows whose scores are computed at a time."""


@dataclass(frozen=True)
class AgreementOptions:
    """How pairs are judged.

    Attributes:
        method: "mutual" keeps a pair when its title finds its image, or its image its title, among the first of a
            random block; "share" keeps the best part of each category by the pair's own score.
        block_size: rows of a block.
        rank: how many are the first; in a smaller block as many of it. Of a title and an image by chance,
            1 - (1 - rank / block_size)^2 are kept. A larger block with more of the first is less a matter of luck than
            a small block whose first alone counts.
        keep_share: part of each category that "share" keeps.
        seed: of the random blocks.
    """

    method: Literal["mutual", "share"] = "mutual"
    block_size: int = 256
    rank: int = 16
    keep_share: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in RULES:
            raise ConfigError(f"method must be one of {', '.join(RULES)}, not {self.method!r}.")
        require_range("block_size", self.block_size, 2)
        require_range("rank", self.rank, 1, self.block_size)
        require_range("keep_share", self.keep_share, 0)
        if self.keep_share > 1:
            raise ConfigError(f"keep_share must be at most 1, not {self.keep_share}.")


class AgreementResult(NamedTuple):
    """What was found of each row."""

    keep: Bool
    """[N]"""
    text_first: Bool
    """[N] the title ranks its own image among the first; of "mutual" alone."""
    image_first: Bool
    """[N] the image ranks its own title among the first; of "mutual" alone."""


def agreeing_rows(
    text_vectors: Float32,
    image_vectors: Float32,
    options: AgreementOptions,
    categories: Sequence[str] | None = None,
    groups: Sequence[int] | NDArray[np.int64] | None = None,
) -> AgreementResult:
    """Judge each row by its vectors, whose inner product is the score that ranks.

    A partner's rank counts those that score higher, so rows with the same image or title do not push each other out.
    The same rows, options and order give the same result; a row that is added may put others into other blocks.

    Args:
        text_vectors: [N, D]; an array, or a memory map of a file.
        image_vectors: [N, D]. A row in which a vector is not finite is not kept, and no other is compared with it.
        options: see there.
        categories: of each row, for "share"; None takes all rows as one category.
        groups: of each row; rows of a group are duplicates and do not compete.

    Raises:
        UsageError: the arguments are of different lengths.
    """
    count = len(text_vectors)
    given = {"image_vectors": image_vectors, "categories": categories, "groups": groups}
    for name, values in given.items():
        if values is not None and len(values) != count:
            raise UsageError(f"{name} has {len(values)} rows, text_vectors {count}. Give one of each row.")
    if options.method == "share":
        return _best_share(text_vectors, image_vectors, options, categories)
    return _mutual(text_vectors, image_vectors, options, None if groups is None else np.asarray(groups))


def random_blocks(count: int, size: int, seed: int) -> list[NDArray[np.int64]]:
    """Rows in random blocks of about ``size``, each row in one; rows of a block in their order."""
    order = np.random.default_rng(seed).permutation(count)
    return [np.sort(block) for block in np.array_split(order, max(1, round(count / size)))]


def _mutual(
    texts: Float32, images: Float32, options: AgreementOptions, groups: NDArray[np.int64] | None
) -> AgreementResult:
    text_first, image_first = np.zeros((2, len(texts)), np.bool_)
    for block in random_blocks(len(texts), options.block_size, options.seed):
        text, image = _rows(texts, block), _rows(images, block)
        sound = _finite(text, image)
        rows, scores = block[sound], text[sound] @ image[sound].T
        own = scores.diagonal().copy()
        if groups is not None:
            scores[groups[rows][:, None] == groups[rows][None, :]] = -np.inf
        most = max(1, round(options.rank * min(1.0, len(rows) / options.block_size)))
        text_first[rows] = (scores > own[:, None] + _EQUAL).sum(axis=1) < most
        image_first[rows] = (scores > own[None, :] + _EQUAL).sum(axis=0) < most
    return AgreementResult(text_first | image_first, text_first, image_first)


def _best_share(
    texts: Float32, images: Float32, options: AgreementOptions, categories: Sequence[str] | None
) -> AgreementResult:
    scores = pair_scores(texts, images)
    _, codes = np.unique(np.asarray(categories if categories is not None else [""] * len(texts)), return_inverse=True)
    keep = np.zeros(len(texts), np.bool_)
    order = np.lexsort((-scores, codes))  # not finite: last
    for members in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        keep[members[: math.ceil(round(options.keep_share * len(members), 6))]] = True
    nowhere = np.zeros(len(texts), np.bool_)
    return AgreementResult(keep & np.isfinite(scores), nowhere, nowhere)


def pair_scores(texts: Float32, images: Float32) -> Float32:
    """[N] inner product of each row's two vectors; NaN where one is not finite."""
    scores = np.full(len(texts), np.nan, np.float32)
    for start in range(0, len(texts), _AT_ONCE):
        text, image = (_rows(one, slice(start, start + _AT_ONCE)) for one in (texts, images))
        sound = _finite(text, image)
        scores[start : start + _AT_ONCE][sound] = np.einsum("nd,nd->n", text[sound], image[sound])
    return scores


def _rows(vectors: Float32, rows: NDArray[np.int64] | slice) -> Float32:
    """Some rows in memory, also those of a memory map."""
    return np.asarray(vectors[rows], np.float32)


def _finite(texts: Float32, images: Float32) -> Bool:
    sound: Bool = np.isfinite(np.concatenate([texts, images], axis=1)).all(axis=1)
    return sound
