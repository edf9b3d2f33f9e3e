"""Vectors of every pair's text and image by a dual encoder, on disk: a million pairs' images do not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from interbert.data.examples import PairData
from interbert.model import scoring
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.processing import InterBertProcessor
from interbert.regions.schema import RegionReader
from interbert.tasks.retrieval import encode_images
from interbert.utils.row_file import Chosen, Float32, Int64, RowFile, Rows

_AT_ONCE = 512
"""Images whose regions are held: a multiple of the encoder's batch, whose batches are then those of all at once."""


def pair_vectors(
    model: InterBertForImageTextRetrieval,
    pairs: PairData,
    store: RegionReader,
    processor: InterBertProcessor,
    folder: Path,
) -> tuple[Rows, Rows]:
    """Unit vectors f32 [pairs,D] of texts and of images; each image is read and encoded once.

    Args:
        model: with a dual encoder.
        pairs: whose tokens and rows.
        store: of the regions.
        processor: of the model.
        folder: where the vectors lie while the process lives.

    Raises:
        StorageError: the disk is full or not writable.
    """
    rows, places = np.unique(pairs.table.rows, return_inverse=True)
    texts = RowFile.of(folder, len(pairs.table), _texts(model, pairs))
    images = RowFile.of(folder, len(rows), _images(model, rows, store, processor))
    return texts, Chosen(images, places)


def _texts(model: InterBertForImageTextRetrieval, pairs: PairData) -> Iterator[tuple[Int64, Float32]]:
    """By length, so that batches are of like texts."""
    order = np.argsort(pairs.lengths, kind="stable")
    for start in range(0, len(order), _AT_ONCE):
        part = order[start : start + _AT_ONCE]
        yield part, scoring.encode_texts(model, [pairs.ids[int(pair)].tolist() for pair in part])


def _images(
    model: InterBertForImageTextRetrieval, rows: Int64, store: RegionReader, processor: InterBertProcessor
) -> Iterator[tuple[Int64, Float32]]:
    for start in range(0, len(rows), _AT_ONCE):
        part = np.arange(start, min(start + _AT_ONCE, len(rows)))
        inputs = encode_images(store, rows[part].tolist(), processor)
        yield part, scoring.encode_images(model, inputs)
