"""Mean loss of every objective between two log lines, summed on the device: reading a number makes a GPU wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


class ObjectiveLog:
    """Sums of losses since the last log line."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def add(self, losses: Mapping[str, Tensor], counts: Mapping[str, Tensor]) -> None:
        """Take in one batch's losses but their sum; one that had nothing to predict does not count.

        Args:
            losses: of the task.
            counts: by how many of a step's places losses were divided; any other that is exactly 0 had none.
        """
        for name, loss in losses.items():
            if name != "loss":
                value = loss.detach().float()
                pair = torch.stack([value, (counts.get(name, value) != 0).float()])
                self._sums[name] = self._sums[name] + pair if name in self._sums else pair

    def take(self, over_processes: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Means since the last call, and start anew.

        Args:
            over_processes: sums a tensor over all processes; called once for each objective, in one order.
        """
        totals = {name: over_processes(pair).tolist() for name, pair in sorted(self._sums.items())}
        self._sums = {}
        return {name: total / count for name, (total, count) in totals.items() if count}
