"""Does what a file says of one row depend on the rows beside it, or on padding?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.export.runtime import Runner

BATCH_TOLERANCE = 1e-4
"""Largest difference that the company of a row may make."""

_MORE_PADDING = 3

Inputs = Mapping[str, NDArray[Any]]


def batch_dependence(run: Runner, inputs: Sequence[str], batch: Inputs, most_text: int) -> float:
    """The largest difference between a row's output in a batch and elsewhere.

    Elsewhere is: alone and without padding, twice in a batch of its own, and in the same batch with more padding.

    Args:
        run: an opened file.
        inputs: names of what it reads.
        batch: inputs of at least two rows, padded; [B,L,...] each.
        most_text: text tokens that the file takes.
    """
    together = run({name: batch[name] for name in inputs})
    wider = {name: _padded(batch[name], name, most_text) for name in inputs}
    largest = float(np.abs(run(wider) - together).max())
    for row, alone in enumerate(_rows(inputs, batch)):
        twice = {name: np.concatenate([one, one]) for name, one in alone.items()}
        for found in (run(alone), run(twice)):
            largest = max(largest, float(np.abs(found - together[row]).max()))
    return largest


def _rows(inputs: Sequence[str], batch: Inputs) -> Iterator[dict[str, NDArray[Any]]]:
    """Each row as a batch of one, without padding."""
    for row in range(len(batch[inputs[0]])):
        real = {mask: int(batch[mask][row].sum()) for mask in {_mask(name) for name in inputs}}
        yield {name: batch[name][row : row + 1, : real[_mask(name)]] for name in inputs}


def _mask(name: str) -> str:
    return "region_mask" if name.startswith("region") else "attention_mask"


def _padded(values: NDArray[Any], name: str, most_text: int) -> NDArray[Any]:
    """More padding; zeros, as padding is everywhere but in ``input_ids``, where any token will do."""
    more = min(_MORE_PADDING, most_text - values.shape[1]) if _mask(name) == "attention_mask" else _MORE_PADDING
    return np.pad(values, [(0, 0), (0, max(more, 0)), *[(0, 0)] * (values.ndim - 2)])
