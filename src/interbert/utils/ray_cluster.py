"""A Ray cluster: one that runs, or one on this machine for as long as a command needs it. Usage reports are off."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from interbert.errors import MissingExtraError, UsageError, first_line


@contextmanager
def connected(address: str | None, with_logs: bool = False) -> Iterator[Any]:
    """A connection to a cluster for a block, which gets the module ``ray``; what was started here ends here.

    Args:
        address: of a running cluster, such as ``auto`` or ``ray://head:10001``; None takes the one that the environment
            names or that runs on this machine, and else starts one on this machine.
        with_logs: print here what workers print, too.

    Raises:
        UsageError: no cluster answers.
        MissingExtraError: Ray is not installed.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "lance is not fork-safe")  # what is forked here becomes Ray at once
            ray.init(address=address, include_dashboard=False, log_to_driver=with_logs, logging_level="ERROR")
    except Exception as error:  # a node that does not come up in time is a plain Exception
        reason = first_line(error)
        raise UsageError(f"ray: no cluster answers at {address or 'this machine'} ({reason}).") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def import_ray() -> Any:
    """The module ``ray``.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError.of("ray", "ray") from error
    return ray
