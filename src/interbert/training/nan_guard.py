"""Noticing a loss that is NaN or infinite, and saying where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from interbert.data.sampling import SampleKey
from interbert.tasks.base import Losses

_NAMED = 5
"""At most so many samples are named."""
_SHOWN = 60
"""Characters of a sample's text."""
_NO_SAMPLE = "no sample of the batch alone, without dropout, gives such a loss"


class NanGuard:
    """Whether losses are finite: at once on a CPU, one step later on a GPU, which then need not wait.

    Args:
        over_processes: sums a number over all processes; given, a loss that is not finite in one of them is noticed by
            all of them at the same batch, as they must when only all together can say where it comes from.
    """

    def __init__(self, over_processes: Callable[[Tensor], Tensor] | None = None) -> None:
        self._over_processes = over_processes
        self._pending: tuple[Tensor, torch.cuda.Event, int] | None = None

    def bad_batch(self, loss: Tensor, batch: int) -> int | None:
        """Number of a batch whose loss was not finite; None while all are.

        Args:
            loss: of this batch.
            batch: its number, given back when it is the bad one.
        """
        flag = torch.isfinite(loss.detach()).all()
        if self._over_processes is not None:
            flag = self._over_processes((~flag).float()) == 0
        if flag.device.type != "cuda":
            return None if bool(flag) else batch
        found = self.late()
        kept = torch.empty((), dtype=torch.bool, pin_memory=True)
        kept.copy_(flag, non_blocking=True)
        arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        arrived.record()
        self._pending = (kept, arrived, batch)
        return found

    def late(self) -> int | None:
        """The verdict that is still on its way, waited for: before a checkpoint is written."""
        if self._pending is None:
            return None
        kept, arrived, batch = self._pending
        self._pending = None
        arrived.synchronize()
        return None if bool(kept) else batch


def diagnosis(
    model: nn.Module,
    losses: Losses,
    batches: Iterator[tuple[SampleKey, dict[str, Tensor]]],
    names: Sequence[str],
) -> str:
    """What is not finite: the weights, or the losses of which samples.

    Args:
        model: as training left it.
        losses: of the task.
        batches: each sample alone, with its key.
        names: a text of every pair, to name it by.
    """
    damaged = [name for name, value in model.named_parameters() if not bool(torch.isfinite(value).all())]
    if damaged:
        return f"the weights are not finite any more, {damaged[0]} first; the step before made them so"
    found: list[tuple[SampleKey, list[str]]] = []
    total = 0
    model.eval()
    with torch.no_grad():
        for key, batch in batches:
            total += 1
            parts = _not_finite(losses(model, batch))
            if parts:
                found.append((key, parts))
    if not found:
        return _NO_SAMPLE
    if len(found) == total > 1:
        largest = max(model.named_parameters(), key=lambda item: float(item[1].detach().abs().max()))
        return f"every sample's {', '.join(found[0][1])}; the largest weight is in {largest[0]}: training has diverged"
    named = [
        f"pair {key.pair} ({names[key.pair][:_SHOWN]!r}): {', '.join(parts)}" if names else f"sample {key.pair}"
        for key, parts in found[:_NAMED]
    ]
    return f"{len(found)} of {total} samples: {'; '.join(named)}"


def of_all_processes(whys: Sequence[str]) -> str:
    """Every process's diagnosis as one; those that found nothing are left out when another did."""
    telling = {process: why for process, why in enumerate(whys) if why != _NO_SAMPLE}
    if len(set(telling.values())) <= 1:
        return next(iter(telling.values()), _NO_SAMPLE)
    return "; ".join(f"in process {process} {why}" for process, why in telling.items())


def _not_finite(losses: Mapping[str, Tensor]) -> list[str]:
    parts = {name: loss for name, loss in losses.items() if name != "loss"} or losses
    return [name for name, part in parts.items() if not bool(torch.isfinite(part))]
