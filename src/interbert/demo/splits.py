"""Split a user's own source into train, validation and test: nothing that belongs together is on two sides."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from interbert.data.grouping import joined
from interbert.data.pairs import normal_text
from interbert.errors import SourceError
from interbert.extraction.sources import ImageSource

SMALLEST = 40
"""Images with texts below which there is nothing to learn and to measure."""


def split_rows(source: ImageSource, most: int, test: int, validation: int) -> dict[str, list[int]]:
    """Rows of each split; rows that share a product or a text stay together.

    Groups are ordered by the SHA-256 of their first text, so the split is the same in every run.

    Args:
        source: images with texts.
        most: use at most so many rows.
        test: rows to hold out for the test, at most a fifth of all.
        validation: rows to hold out for validation, at most a tenth.

    Raises:
        SourceError: there are too few rows with a text.
    """
    groups = _groups(source)
    order = sorted(groups, key=lambda key: hashlib.sha256(key.encode()).hexdigest())
    total = min(most, sum(map(len, groups.values())))
    if total < SMALLEST:
        raise SourceError(f"{source.name}: {total} images with texts are too few for a demo; give at least {SMALLEST}.")
    splits: dict[str, list[int]] = {"test": [], "validation": [], "train": []}
    sizes = {"test": min(test, total // 5), "validation": min(validation, total // 10), "train": total}
    for key in order:
        rows = groups[key]
        for split, members in splits.items():
            # a large group would fill a held-out split with one product
            if len(members) + len(rows) <= sizes[split] and (split == "train" or len(rows) <= 5):
                members += rows
                break
        sizes["train"] = total - len(splits["test"]) - len(splits["validation"])
    if not all(splits.values()):
        raise SourceError(f"{source.name}: nearly all images share one product or text; there is nothing to rank.")
    return {name: sorted(rows) for name, rows in splits.items()}


def _groups(source: ImageSource) -> dict[str, list[int]]:
    """Rows with texts that share a product id or a text, under a name made of the first one's text and row."""
    rows = [(product, texts) for product, texts in source.products_and_texts()]
    keys = [[("product", product), *(("text", normal_text(text)) for text in texts)] for product, texts in rows]
    groups: dict[str, list[int]] = {}
    for row, first in enumerate(joined(keys)):
        if rows[row][1]:
            groups.setdefault(f"{' '.join(rows[first][1][:1])}\x1f{first}", []).append(row)
    return groups


def is_chinese(texts: Sequence[str]) -> bool:
    """Whether most of the texts hold a Chinese character."""
    return sum(any("\u4e00" <= character <= "\u9fff" for character in text) for text in texts) > len(texts) / 2
