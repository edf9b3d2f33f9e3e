"""Pooling of regions against torchvision's operator."""

import pytest
import torch
from torch import Tensor
from torchvision.ops import roi_align

from interbert.extraction.windows import pool_regions

SIZES = [(16, 16), (8, 6), (3, 4), (1, 1), (2, 5)]


def some_boxes(count: int, seed: int) -> Tensor:
    """[count,4] as fractions of an image, some of them over its edges, one as thin as a line, one everything."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, 2, generator=generator) * 1.4 - 0.2
    boxes = torch.cat((corners.amin(dim=1), corners.amax(dim=1)), dim=1)
    boxes[0] = torch.tensor([0.0, 0.0, 1.0, 1.0])
    boxes[1] = torch.tensor([0.3, 0.2, 0.3, 0.9])
    return boxes


def a_map(images: int, size: tuple[int, int]) -> Tensor:
    return torch.randn(images, 5, *size, generator=torch.Generator().manual_seed(0))


def by_torchvision(feature_map: Tensor, boxes: list[Tensor], bins: int, samples: int) -> Tensor:
    height, width = feature_map.shape[2:]
    cells = [one * torch.tensor([width, height, width, height]) for one in boxes]
    found: Tensor = roi_align(feature_map, cells, bins, spatial_scale=1.0, sampling_ratio=samples, aligned=True)
    return found.flatten(1)


@pytest.mark.parametrize("bins", [1, 2, 3])
@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize("size", SIZES)
def test_pooling_is_the_roi_align_of_torchvision(size: tuple[int, int], bins: int, samples: int) -> None:
    feature_map = a_map(2, size)
    boxes = some_boxes(7, seed=1)
    wanted = by_torchvision(feature_map, [boxes, boxes], bins, samples)
    pooled = pool_regions(feature_map, boxes[None], None, bins, samples)
    torch.testing.assert_close(pooled, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_images_with_different_numbers_of_boxes_are_pooled_together(size: tuple[int, int]) -> None:
    feature_map = a_map(3, size)
    boxes = [some_boxes(count, seed=count) for count in (2, 9, 5)]
    padded = torch.nn.utils.rnn.pad_sequence(boxes, batch_first=True)
    real = torch.arange(9) < torch.tensor([2, 9, 5])[:, None]
    pooled = pool_regions(feature_map, padded, real, 2, 4)
    torch.testing.assert_close(pooled, by_torchvision(feature_map, boxes, 2, 4), rtol=0, atol=1e-5)


def test_eight_samples_of_one_bin_are_the_mean_of_two_by_two_bins_of_four() -> None:
    feature_map = a_map(1, (8, 6))
    boxes = some_boxes(6, seed=3)
    quarters = by_torchvision(feature_map, [boxes], 2, 4).view(6, 5, 4)
    torch.testing.assert_close(pool_regions(feature_map, boxes[None], None, 1, 8), quarters.mean(dim=2))
