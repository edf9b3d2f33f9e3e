"""Mean loss of every objective between two log lines, summed on the device: reading a number makes a GPU wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

LOSSES = ("lm_loss", "region_loss", "matching_loss", "contrastive_loss")


class ObjectiveLog:
    """Sums of losses since the last log line."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def add(self, losses: Mapping[str, Tensor], predicted: Tensor | None = None) -> None:
        """Take in one forward pass's losses; one that had nothing to predict does not count.

        Args:
            losses: ``loss`` and its parts.
            predicted: [2], tokens and regions that the whole step predicts, by which those two losses were divided;
                without it a loss that is exactly 0 had nothing to predict.
        """
        shared = {} if predicted is None else dict(zip(("lm_loss", "region_loss"), predicted, strict=True))
        for name, part in losses.items():
            if name != "loss":
                value = part.detach().float()
                pair = torch.stack([value, (shared.get(name, value) != 0).float()])
                self._sums[name] = self._sums[name] + pair if name in self._sums else pair

    def take(self, over_processes: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Means since the last call, and start anew.

        Args:
            over_processes: sums a tensor over all processes; called once for each objective, in one order.
        """
        totals = {name: over_processes(pair).tolist() for name, pair in sorted(self._sums.items())}
        self._sums = {}
        return {name: total / count for name, (total, count) in totals.items() if count}
