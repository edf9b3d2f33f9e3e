from __future__ import annotations

import numpy as np
import pytest

from interbert.errors import ConfigError
from interbert.extraction.windows import MAX_WINDOWS, window_fractions


@pytest.mark.parametrize(
    ("scales", "count"), [((1,), 1), ((1, 2), 5), ((1, 2, 3), 14), ((6,), 36), ((1, 1), 2), ((3, 2), 13)]
)
def test_scale_k_gives_k_times_k_windows(scales: tuple[int, ...], count: int) -> None:
    assert window_fractions(scales).shape == (count, 4)
    assert window_fractions(scales).dtype == np.float32


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.99])
@pytest.mark.parametrize("scale", range(1, 7))
def test_the_windows_of_each_scale_cover_the_image_and_stay_inside(scale: int, overlap: float) -> None:
    for width, height in [(1, 1), (60, 80), (333, 777), (5000, 3), (7, 4999)]:
        boxes = window_fractions([scale], overlap) * np.float32([width, height, width, height])
        assert (boxes >= 0).all()
        assert (boxes[:, [0, 2]] <= width).all()
        assert (boxes[:, [1, 3]] <= height).all()
        assert (boxes[:, 2] > boxes[:, 0]).all()
        assert (boxes[:, 3] > boxes[:, 1]).all()
        for low, high, end in ((0, 2, width), (1, 3, height)):
            reached = 0.0
            for start, stop in sorted({(float(box[low]), float(box[high])) for box in boxes}):
                assert start <= reached + 1e-3 * end
                reached = max(reached, stop)
            assert reached == pytest.approx(end, rel=1e-5)


def test_windows_overlap_by_the_share_asked_for() -> None:
    without = window_fractions([2], overlap=0.0)
    np.testing.assert_allclose(without, [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]])
    half = window_fractions([2], overlap=0.5)
    np.testing.assert_allclose(half[0], [0, 0, 0.75, 0.75])
    np.testing.assert_allclose(half[3], [0.25, 0.25, 1, 1])


def test_windows_come_coarse_to_fine_and_the_first_is_the_whole_image() -> None:
    boxes = window_fractions((1, 2, 3)) * np.float32([60, 80, 60, 80])
    np.testing.assert_allclose(boxes[0], [0, 0, 60, 80])
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert (np.diff(areas) <= 1e-2).all()


@pytest.mark.parametrize(
    ("scales", "overlap", "message"),
    [
        ((), 0.5, "scales"),
        ((0,), 0.5, "scales"),
        ((2, -1), 0.5, "scales"),
        ((1,), 1.0, "overlap"),
        ((1,), -0.1, "overlap"),
        ((1,), float("nan"), "overlap"),
        ((6, 1), 0.5, f"37 windows; at most {MAX_WINDOWS}"),
    ],
)
def test_impossible_windows_are_an_error(scales: tuple[int, ...], overlap: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        window_fractions(scales, overlap)
