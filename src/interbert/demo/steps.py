"""Steps that are done once: each leaves a marker, and runs again only when what it depends on has changed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interbert.utils.bounded_files import read_json
from interbert.utils.files import atomic_write

_LEAST_SECONDS = 5.0
"""Of work that say how fast a machine is."""


@dataclass(frozen=True)
class Step:
    """A piece of work.

    Attributes:
        name: short, unique; names the marker file.
        title: what the user reads.
        expected_seconds: on two cores.
        inputs: settings the result depends on (JSON values). Results of earlier steps count by themselves.
        outputs: files or directories the step leaves; when one is missing the step runs again.
        action: does the work.
    """

    name: str
    title: str
    expected_seconds: float
    inputs: Mapping[str, Any]
    outputs: tuple[Path, ...]
    action: Callable[[], None]


@dataclass(frozen=True)
class StepState:
    """Where a step stands: the fingerprint it has to have, whether it is done, and how long it took if so."""

    step: Step
    fingerprint: str
    done: bool
    seconds: float


class Pace:
    """How much longer than expected steps take on this machine, by those that are done."""

    def __init__(self) -> None:
        self._expected = self._measured = 0.0

    def add(self, expected: float, seconds: float) -> None:
        """Learn from a step, in seconds."""
        self._expected += expected
        self._measured += seconds

    @property
    def factor(self) -> float | None:
        """Measured seconds by expected ones; None before there are some."""
        return self._measured / self._expected if self._measured >= _LEAST_SECONDS else None


class StepRunner:
    """Runs steps in order inside one directory.

    The fingerprint of a step covers its inputs and the fingerprint of the step before it, so a change runs
    everything after it again. A marker is written after the work, by renaming: a killed step is not done.

    Args:
        state: directory for the markers, made when missing.
        steps: in order.
    """

    def __init__(self, state: Path, steps: Sequence[Step]) -> None:
        assert len({step.name for step in steps}) == len(steps), "step names must differ"
        self.state_dir = state
        self.steps = list(steps)

    def plan(self) -> list[StepState]:
        """State of every step; steps after one that has to run have to run too."""
        states, before, fresh = [], "", True
        for step in self.steps:
            canonical = json.dumps([step.name, dict(step.inputs), before], sort_keys=True, default=str)
            fingerprint = hashlib.sha256(canonical.encode()).hexdigest()[:16]
            record = self._read(step)
            fresh = fresh and record.get("fingerprint") == fingerprint and all(path.exists() for path in step.outputs)
            states.append(StepState(step, fingerprint, fresh, float(record.get("seconds", 0.0)) if fresh else 0.0))
            before = fingerprint
        return states

    def run(self, announce: Callable[[StepState], None] = lambda state: None) -> list[StepState]:
        """Run what is not done.

        Args:
            announce: called before each step that runs, and with ``done=True`` after it.

        Returns:
            every step's state with the seconds its work took, now or earlier.
        """
        self.state_dir.mkdir(parents=True, exist_ok=True)
        finished = []
        for state in self.plan():
            if state.done:
                finished.append(state)
                continue
            marker = self._marker(state.step)
            marker.unlink(missing_ok=True)
            announce(state)
            start = time.monotonic()
            state.step.action()
            seconds = time.monotonic() - start
            atomic_write(marker, json.dumps({"fingerprint": state.fingerprint, "seconds": round(seconds, 1)}))
            done = StepState(state.step, state.fingerprint, True, seconds)
            announce(done)
            finished.append(done)
        return finished

    def _marker(self, step: Step) -> Path:
        return self.state_dir / f"{step.name}.json"

    def _read(self, step: Step) -> dict[str, Any]:
        try:
            record = read_json(self._marker(step))
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}
