"""Global tokens of many images hold no more than themselves."""

from __future__ import annotations

import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from interbert.training import finetune


class _Whole(np.ndarray):  # type: ignore[type-arg]
    """Features of an image, whose end can be seen."""


def test_whole_images_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[weakref.ref[Any]] = []
    most = [0]

    def encode(store: object, rows: list[int], processor: object) -> list[tuple[np.ndarray, np.ndarray]]:
        images = [np.full((3, 4), row, dtype=np.float32).view(_Whole) for row in rows]
        alive.extend(map(weakref.ref, images))
        most[0] = max(most[0], sum(one() is not None for one in alive))
        return [(image, np.zeros((3, 5), dtype=np.float32)) for image in images]

    monkeypatch.setattr(finetune, "encode_images", encode)
    monkeypatch.setattr(finetune, "_AT_ONCE", 2)
    data: Any = SimpleNamespace(table=SimpleNamespace(rows=np.arange(11)), store=None)
    rows, features = finetune._global_tokens(data, None, 0)  # type: ignore[arg-type]
    assert sorted(rows) == list(range(11))
    np.testing.assert_array_equal(features, np.repeat(np.array(rows, dtype=np.float32)[:, None], 4, axis=1))
    assert most[0] <= 4  # of a block, and of the one before
