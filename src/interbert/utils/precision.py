"""The numbers that scores are computed in, as options of verbs say it."""

from __future__ import annotations

from typing import Literal


def asks_for_bf16(precision: Literal["auto", "fp32", "bf16"]) -> bool | None:
    """An option as engines and scoring take it: None where the device decides."""
    return None if precision == "auto" else precision == "bf16"
