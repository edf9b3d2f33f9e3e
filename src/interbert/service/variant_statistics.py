"""Variants of an experiment in numbers, with 95% intervals.

Intervals of rates are Wilson's, over searches. That of a difference is by the delta method over clients (Deng, Knoblich
and Lu, KDD 2018): a client's searches are not independent, and clients, not searches, were drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from interbert.service.state.records import VariantUse

_Z = 1.959963984540054
"""Of a 95% interval."""


@dataclass(frozen=True)
class Rate:
    """A share of searches, with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """What a variant's click-through has more than that of the control."""

    variant: str
    control: str
    click_through: Rate


def wilson(count: int, of: int) -> Rate:
    """The share ``count / of`` with its Wilson interval (1927); of nothing, anything from 0 to 1."""
    if not of:
        return Rate(0.0, 0.0, 1.0)
    from scipy.stats import binomtest  # a second to import

    low, high = binomtest(count, of).proportion_ci(method="wilson")
    return Rate(count / of, float(low), float(high))


def differences(control: str, variants: Sequence[VariantUse]) -> list[Difference]:
    """Each variant against the control; none where the control, or the variant, was not searched."""
    by_name = {one.variant: one for one in variants if one.searches}
    if control not in by_name:
        return []
    return [
        Difference(name, control, _difference(one, by_name[control]))
        for name, one in sorted(by_name.items())
        if name != control
    ]


def _difference(variant: VariantUse, control: VariantUse) -> Rate:
    value = variant.clicked / variant.searches - control.clicked / control.searches
    half = _Z * math.sqrt(_variance(variant) + _variance(control))
    return Rate(value, max(value - half, -1.0), min(value + half, 1.0))


def _variance(one: VariantUse) -> float:
    """Of clicked searches per search, a ratio of two sums over clients; the largest possible with a single client."""
    if one.clients < 2:
        return 0.25
    rate = one.clicked / one.searches
    squares = one.clicked_squared - 2 * rate * one.clicked_by_searches + rate**2 * one.searches_squared
    return max(squares, 0.0) * one.clients / (one.clients - 1) / one.searches**2
