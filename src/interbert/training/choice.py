"""Which of a run's validated models is kept: the latest, unless an earlier one is better by more than chance.

The best of several figures on few images is mostly the luckiest. The latest model has learnt longest, at the lowest
rate, and where there is an average of weights, over most steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from interbert.tasks.judged import Judged
from interbert.tasks.metrics import Estimate


@dataclass(frozen=True)
class Validated:
    """One validation of a run.

    Attributes:
        step: steps made before it.
        value: of the primary metric.
        judged: of every unit; None where the task tells none.
    """

    step: int
    value: float
    judged: Judged | None = None

    def more_than(self, other: Validated) -> Estimate | None:
        """What this is more than another validation of the same units, with its interval; None if they tell none."""
        return None if self.judged is None or other.judged is None else self.judged.estimate(other.judged)


class Choice:
    """Chooses as the validations come.

    Args:
        greater_is_better: of the primary metric.
        start_counts: whether the model that is started from may be kept.
    """

    def __init__(self, greater_is_better: bool, start_counts: bool = True) -> None:
        self._sign = 1.0 if greater_is_better else -1.0
        self._start_counts = start_counts
        self.start: Validated | None = None
        """Before the first step."""
        self.best: Validated | None = None
        """With the best value; of equals the latest."""
        self.kept: Validated | None = None

    def takes(self, found: Validated) -> bool:
        """Whether a validated model is to be kept in place of what is."""
        if found.step == 0:
            self.start = found
            if not self._start_counts:
                return False
        # without values of every unit nothing says what is chance, so that the best value is kept
        better = self.best is None or self._sign * (found.value - self.best.value) >= 0
        if better:
            self.best = found
        elif self._told_apart(found):
            return False
        self.kept = found
        return True

    def _told_apart(self, found: Validated) -> bool:
        """Whether the best one is better than ``found`` by more than chance."""
        assert self.best is not None
        more = self.best.more_than(found)
        return more is None or (more.low if self._sign > 0 else -more.high) > 0

    def summary(self, metric: str, steps: int, what: str) -> str:
        """What is kept and why, in a line.

        Args:
            metric: name of the primary metric.
            steps: of the run.
            what: it was judged on, such as ``28 validation images``.
        """
        assert self.kept is not None
        line = f"kept: step {self.kept.step} of {steps}, {metric} {shown(self.kept)} ({what})"
        assert self.best is not None
        more = self.best.more_than(self.kept) if self.best.step != self.kept.step else None
        if more is not None:
            line += (
                f"; step {self.best.step} had {self.best.value:.1f}, a difference that may be chance {interval(more)}"
            )
        return line

    def gain(self, metric: str) -> str | None:
        """What training gave over the model that it started from, in a line; None where that is not known."""
        if self.start is None or self.kept is None:
            return None
        more = self.kept.more_than(self.start)
        if more is None:
            return None
        line = f"since step 0, {metric} changed by {more.value:+.1f} {interval(more)}"
        if self.kept.step == 0:
            return f"{metric} is best at step 0: training made the model worse, and the one it started from is kept"
        gained = (more.low if self._sign > 0 else -more.high) > 0
        return line if gained else f"{line}: no gain beyond chance over the model that training started from"

    def to_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {name: _written(getattr(self, name)) for name in ("start", "best", "kept")}

    def load(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Read what :meth:`to_dict` wrote.

        Args:
            values: of a checkpoint; earlier versions wrote the best value alone, or None.
            step: of the model that is kept, for those.

        Raises:
            LookupError, TypeError, ValueError: it is damaged.
        """
        if "kept" not in values:
            before = values["best"]
            self.best = self.kept = None if before is None else Validated(step or 0, float(before))
            return
        self.start, self.best, self.kept = (_read(values[name]) for name in ("start", "best", "kept"))


def shown(found: Validated) -> str:
    """A value and its interval, where there is one."""
    value = f"{found.value:.1f}"
    return value if found.judged is None else f"{value} {interval(found.judged.estimate(), signed=False)}"


def interval(found: Estimate, signed: bool = True) -> str:
    """Its bounds."""
    return f"[{found.low:+.1f}, {found.high:+.1f}]" if signed else f"[{found.low:.1f}, {found.high:.1f}]"


def _written(found: Validated | None) -> dict[str, Any] | None:
    if found is None:
        return None
    judged = found.judged
    units = None if judged is None else [judged.sums.round(4).tolist(), judged.counts.tolist()]
    return {"step": found.step, "value": found.value, "units": units}


def _read(values: Mapping[str, Any] | None) -> Validated | None:
    if values is None:
        return None
    units = values["units"]
    judged = None if units is None else Judged(*(np.array(one, dtype=np.float64) for one in units))
    return Validated(int(values["step"]), float(values["value"]), judged)
