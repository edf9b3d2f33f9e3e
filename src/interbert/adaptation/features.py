"""The vector that stands for a whole image while the backbone learns: its maps, averaged."""

from __future__ import annotations

import torch
from torch import Tensor


def pooled_features(lower: Tensor, upper: dict[str, Tensor]) -> Tensor:
    """Maps at stride 8 [B,C,h,w], at stride 16 and of the head -> [B,F], their channels side by side."""
    return torch.cat([one.mean(dim=(2, 3)) for one in (lower, upper["stride16"], upper["head"])], dim=1)


def random_crops(maps: Tensor, smallest: float, generator: torch.Generator) -> Tensor:
    """Cut a random part out of each map [B,C,h,w] and stretch it to the map's size.

    Args:
        maps: of whole images.
        smallest: shortest side of a part, as a share of the map's; 1 gives the maps back.
        generator: where, and how large.
    """
    if smallest >= 1:
        return maps
    count = len(maps)
    sides = smallest + (1 - smallest) * torch.rand(count, 2, generator=generator)
    shifts = (1 - sides) * (2 * torch.rand(count, 2, generator=generator) - 1)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = sides[:, 0], sides[:, 1]
    theta[:, :, 2] = shifts
    grid = torch.nn.functional.affine_grid(theta.to(maps.device), list(maps.shape), align_corners=False)
    return torch.nn.functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)
