"""The optimizer of the published code, for runs that want its quirks (SPEC part 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class ReferenceAdam(torch.optim.Optimizer):
    """Adam without bias correction, each parameter's gradient clipped by itself, decay decoupled.

    Without the correction the first steps are larger by (1 - 0.9) / sqrt(1 - 0.999), three times: warm-up hides it.

    Args:
        params: parameters or groups.
        lr: learning rate.
        betas: of the two averages.
        eps: added to the root of the second one.
        weight_decay: times the learning rate, of the weight itself.
        max_grad_norm: of every parameter on its own.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        max_grad_norm: float = 1.0,
    ) -> None:
        settings = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "max_grad_norm": max_grad_norm,
        }
        super().__init__(params, settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        assert closure is None, "the losses are computed outside"
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        gradient = gradient * (group["max_grad_norm"] / (gradient.norm() + 1e-6)).clamp(max=1.0)
        first, second = group["betas"]
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        change = state["mean"] / (state["square"].sqrt() + group["eps"])
        change.add_(parameter, alpha=group["weight_decay"])
        parameter.add_(change, alpha=-group["lr"])
