"""Answers about experiments."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from interbert.service.schemas.common import Reply


class RateReply(Reply):
    """A share, or a difference of two, with its 95% interval."""

    value: float
    low: float
    high: float


class VariantReply(Reply):
    """A variant: the index that answered."""

    variant: str
    clients: int = Field(description="Clients, and searches without one.")
    searches: int
    clicked: int = Field(description="Searches with a click.")
    click_through: RateReply = Field(description="Searches with a click, of all; Wilson's interval.")
    without_results: RateReply = Field(description="Searches that found nothing, of all; Wilson's interval.")
    p50_ms: float | None = Field(description="Half of the searches took no longer.")
    p99_ms: float | None = Field(description="99 of 100 searches took no longer.")


class DifferenceReply(Reply):
    """What a variant's click-through has more than that of the control."""

    variant: str
    control: str
    click_through: RateReply = Field(description="By the delta method over clients.")


class ExperimentReply(Reply):
    """The variants of an index, side by side."""

    index: str
    days: float
    share: float | None = Field(description="Of clients that are answered by another index now; null without any.")
    variants: list[VariantReply]
    differences: list[DifferenceReply]


EXPERIMENT: dict[str, Any] = {
    "index": "shop",
    "days": 30,
    "share": 0.1,
    "variants": [
        {
            "variant": "next",
            "clients": 410,
            "searches": 1033,
            "clicked": 401,
            "click_through": {"value": 0.388, "low": 0.359, "high": 0.418},
            "without_results": {"value": 0.01, "low": 0.005, "high": 0.018},
            "p50_ms": 41.5,
            "p99_ms": 188.0,
        }
    ],
    "differences": [],
}
"""For examples."""
