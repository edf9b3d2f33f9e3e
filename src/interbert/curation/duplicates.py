"""Stage 2: rows that are there already, and rows that are nearly the same.

Shapes: N rows of the source; P pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interbert.curation.groups import group_rows
from interbert.curation.judged_rows import JudgedRows, Keys, byte_keys, first_equal, linked, text_keys
from interbert.curation.near_images import near_image_pairs
from interbert.curation.near_titles import near_title_pairs
from interbert.curation.placeholders import placeholder_images
from interbert.curation.recipe import DatasetRecipe
from interbert.utils.terminal import progress_bar

Rows = NDArray[np.int64]
Pairs = NDArray[np.int64]

DUPLICATE_PAIR, DUPLICATE_TITLE, DUPLICATE_IMAGE = "duplicate_pair", "duplicate_title", "duplicate_image"
PLACEHOLDER, NEAR_DUPLICATE = "image_placeholder", "near_duplicate"
_STEPS = 100
NEAR_TITLE, NEAR_IMAGE = "near_title", "near_image"
SAME_TITLE, SAME_IMAGE, SAME_PRODUCT = "same_title", "same_image", "same_product"


@dataclass(frozen=True)
class RepeatedRows:
    """Rows that are dropped, each because of another."""

    rule: str
    rows: Rows
    first: Rows
    """Of each the row that it repeats."""


def has_image(judged: JudgedRows, rows: Rows) -> NDArray[np.bool_]:
    """[n] whether each of some rows has an image."""
    return np.asarray(judged.digests[rows].any(axis=1))


def placeholders(judged: JudgedRows, rows: Rows, near: Pairs, recipe: DatasetRecipe) -> Rows:
    """Rows whose image stands for many different titles; copies of it that are nearly the same count as one.

    Args:
        judged: all rows.
        rows: those that are looked at.
        near: rows whose images are nearly the same.
        recipe: how many, and how different.
    """
    there = rows[has_image(judged, rows)]
    first = group_rows(judged.count, near, same_images(judged, there))[there]
    several = np.isin(first, first[first != there])
    there, first = there[several], first[several]  # an image that stands once has one title
    digests = [row.tobytes() for row in judged.digests[first]]
    found = placeholder_images(digests, list(judged.titles.take(there)), recipe.image_rules)
    standing: Rows = there[np.fromiter((digest in found for digest in digests), dtype=bool, count=len(digests))]
    return standing


def repeated_rows(judged: JudgedRows, rows: Rows, recipe: DatasetRecipe) -> list[RepeatedRows]:
    """Rows whose title and image, or one of them, were there before, as the recipe says."""
    if recipe.exact_duplicates == "keep":
        return []
    titles = text_keys(judged.titles.take(rows))
    if not judged.digests.shape[1]:
        return [_repeated(DUPLICATE_TITLE, rows, titles)]
    images = byte_keys(judged.digests[rows])
    if recipe.exact_duplicates == "pair":
        return [_repeated(DUPLICATE_PAIR, rows, np.concatenate((titles, images), axis=1))]
    by_title = _repeated(DUPLICATE_TITLE, rows, titles)
    left = np.flatnonzero(~np.isin(rows, by_title.rows) & has_image(judged, rows))
    return [by_title, _repeated(DUPLICATE_IMAGE, rows[left], images[left])]


def _repeated(rule: str, rows: Rows, keys: Keys) -> RepeatedRows:
    pairs = linked(rows, first_equal(keys))
    return RepeatedRows(rule, pairs[:, 1], pairs[:, 0])


def same_titles(judged: JudgedRows, rows: Rows) -> Pairs:
    """Rows with the first one of the same title."""
    return linked(rows, first_equal(text_keys(judged.titles.take(rows))))


def same_images(judged: JudgedRows, rows: Rows) -> Pairs:
    """Rows with the first one of the same image's file."""
    there = rows[has_image(judged, rows)]
    return linked(there, first_equal(byte_keys(judged.digests[there])))


def same_products(judged: JudgedRows, rows: Rows) -> Pairs:
    """Rows with the first one of the same id, or of the same product."""
    parts = []
    for name in ("id", "product"):
        texts = judged.texts(name).take(rows)
        there = np.fromiter(map(bool, texts), dtype=bool, count=len(rows))
        keys = text_keys(texts)[there]
        parts.append(linked(rows[there], first_equal(keys)))
    return np.concatenate(parts)


def near_titles(judged: JudgedRows, rows: Rows, recipe: DatasetRecipe, further: Sequence[str] = ()) -> Pairs:
    """Rows whose titles are nearly the same; of those with the same title the first alone is compared.

    Args:
        judged: all rows.
        rows: those that are compared.
        recipe: how near.
        further: other texts, whose places follow those of all rows.
    """
    first = first_equal(text_keys(judged.titles.take(rows)))
    different = rows[first == np.arange(len(rows))]
    done = 0
    with progress_bar("comparing titles", _STEPS, "%") as advance:

        def tell(steps: int, of: int) -> None:
            nonlocal done
            now = _STEPS * steps // max(1, of)
            advance(now - done)
            done = now

        titles = [*judged.titles.take(different), *further]
        pairs = near_title_pairs(titles, recipe.near_titles, tell)
    return _of_rows(_followed(judged, different, len(further)), pairs)


def near_images(
    judged: JudgedRows,
    rows: Rows,
    recipe: DatasetRecipe,
    load: Callable[[int], bytes],
    further: NDArray[np.uint8] | None = None,
) -> Pairs:
    """Rows whose images are nearly the same; of those with the same file the first alone is compared.

    Args:
        judged: all rows.
        rows: those that are compared.
        recipe: how near.
        load: the file of the image of a row, or of one of the further ones by its place.
        further: [M, bytes] hashes of other images, whose places follow those of all rows.
    """
    there = rows[has_image(judged, rows)]
    if not len(there):
        return np.zeros((0, 2), dtype=np.int64)
    first = first_equal(byte_keys(judged.digests[there]))
    different = there[first == np.arange(len(there))]
    hashes = judged.hashes[different]
    count = 0 if further is None else len(further)
    if further is not None and count:
        hashes = np.concatenate((hashes, further))
    places = _followed(judged, different, count)
    return _of_rows(places, near_image_pairs(hashes, lambda place: load(int(places[place])), recipe.near_images))


def _followed(judged: JudgedRows, rows: Rows, further: int) -> Rows:
    """Rows, and the places of what follows all rows."""
    return np.concatenate((rows, judged.count + np.arange(further, dtype=np.int64)))


def _of_rows(rows: Rows, pairs: Pairs) -> Pairs:
    """Pairs of rows from pairs of places among them."""
    found: Pairs = rows[pairs].reshape(-1, 2)
    return found
