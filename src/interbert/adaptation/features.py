"""The vector that stands for a whole image while the backbone learns: its maps, averaged."""

from __future__ import annotations

import torch
from torch import Tensor


def pooled_features(lower: Tensor, upper: dict[str, Tensor]) -> Tensor:
    """Maps at stride 8 [B,C,h,w], at stride 16 and of the head -> [B,F], their channels side by side."""
    return torch.cat([one.mean(dim=(2, 3)) for one in (lower, upper["stride16"], upper["head"])], dim=1)


def random_crops(count: int, smallest: float, generator: torch.Generator) -> Tensor | None:
    """Random parts of images, for :func:`cropped`: affine maps [count,2,3].

    Args:
        count: of images.
        smallest: shortest side of a part, as a share of the image's; 1 gives None, the whole images.
        generator: where, and how large.
    """
    if smallest >= 1:
        return None
    sides = smallest + (1 - smallest) * torch.rand(count, 2, generator=generator)
    shifts = (1 - sides) * (2 * torch.rand(count, 2, generator=generator) - 1)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = sides[:, 0], sides[:, 1]
    theta[:, :, 2] = shifts
    return theta


def cropped(maps: Tensor, crops: Tensor | None) -> Tensor:
    """Cut its part out of each map [B,C,h,w] and stretch it to the map's size."""
    if crops is None:
        return maps
    grid = torch.nn.functional.affine_grid(crops, list(maps.shape), align_corners=False)
    return torch.nn.functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)
