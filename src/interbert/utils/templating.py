"""HTML and SVG from the templates in ``templates/``: every value is escaped, and nothing in it acts on a page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from interbert.utils.redaction import published
from interbert.utils.terminal import inert

if TYPE_CHECKING:
    from jinja2 import Environment


_SURROGATES = re.compile("[\ud800-\udfff]")
_COLOURS = 8


def render(template: str, images: Mapping[str, str] | None = None, **values: Any) -> str:
    """The text of a template; it can use ``values``, ``images``, and ``classes``, the CSS class of each image's key.

    Control and direction characters become their escapes, and half a character, which no UTF-8 can hold, U+FFFD.

    Args:
        template: file in ``templates/``. A page extends ``document.html``, which holds each image once.
        images: data URI of each image key.
        values: by name. None is marked as safe: HTML comes from templates alone.

    Raises:
    """
    uris = images or {}
    classes = {key: f"p{number}" for number, key in enumerate(uris)}
    return _environment().get_template(template).render(images=uris, classes=classes, **values)


def format_number(value: float, percent: bool = False) -> str:
    """A value as people read it."""
    if percent:
        return f"{value:.1f}%"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def format_probability(probability: float, estimated: bool = False) -> str:
    """A probability as people read it: 97%, 3.1%, 0.02%, under 0.01%; ~97% where it is an estimate."""
    if estimated:
        return "~" + format_probability(probability)
    percent = 100 * probability
    if percent >= 99.95:
        return "100%" if percent >= 99.995 else f"{percent:.2f}%"
    if percent >= 10:
        return f"{percent:.0f}%" if percent < 99.5 else f"{percent:.1f}%"
    if percent >= 1:
        return f"{percent:.1f}%"
    return f"{percent:.2f}%" if percent >= 0.01 else "<0.01%"


def colour_classes(slot: int) -> str:
    """CSS classes of the colour of a run or box; every eighth one has the first one's colour, dotted."""
    return f"s{slot % _COLOURS}" + (" dotted" if slot // _COLOURS % 2 else "")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("interbert"),
        autoescape=True,
        finalize=_inert,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "spec": format,  # Python's format specifications: {{ share|spec(".1f") }}
        "number": format_number,
        "probability": format_probability,
        "published": published,
        "colour": colour_classes,
    }
    return environment


def _inert(value: object) -> object:
    return value if hasattr(value, "__html__") else inert(_SURROGATES.sub("\ufffd", str(value)))
