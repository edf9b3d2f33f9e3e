"""What came onto a topic's page, left it and moved on it, and why: one sentence each.

Items are what a page shows of a product, as :func:`interbert.service.page_making.page_item` makes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher
from typing import Any, Literal

from interbert.search.index import ProductIndex
from interbert.service.page_making import MadePage
from interbert.service.state.records import Change, TopicRow

Item = Mapping[str, Any]


@dataclass(frozen=True)
class Sides:
    """A page before and after, and what both were made from."""

    topic: TopicRow
    before: Sequence[Item]
    after: MadePage
    closed: str | None
    """Why the topic has no page now, such as "its valid time has ended"."""
    now: ProductIndex
    former: ProductIndex | None
    """The index that the page before was made of; None when that version is gone, and with it why products came."""
    opened: str | None = None
    """What explains that products came where it is not the products: the topic's first page, another index."""


def page_changes(sides: Sides, at: datetime) -> list[Change]:
    """The log of a page that was made anew: what left, came and moved, in this order.

    Items that have another rank only because others came or left have not moved.
    """
    old = {str(item["product_id"]): item for item in sides.before}
    new = {str(item["product_id"]): item for item in sides.after.items}
    gone = [name for name in old if name not in new]
    come = [name for name in new if name not in old]
    sentences: list[tuple[str, Literal["entered", "left", "moved"], str]] = []
    sentences += [(name, "left", why) for name, why in _left(gone, sides)]
    sentences += [(name, "entered", why) for name, why in _entered(come, new, sides)]
    sentences += [(name, "moved", _moved(old[name], new[name])) for name in _out_of_order(list(old), list(new))]
    return [Change(at=at, product_id=name, what=what, why=why) for name, what, why in sentences]


def _left(names: Sequence[str], sides: Sides) -> Iterator[tuple[str, str]]:
    """Why each of these products is not on the page any more."""
    topic = sides.topic
    if not names:
        return
    if sides.closed is not None:
        yield from ((name, sides.closed) for name in names)
        return
    there, allowed = _having(sides.now, names, topic.where)
    image_of = {str(item["product_id"]): item["image_id"] for item in sides.before}
    shown_with = {other: str(item["product_id"]) for item in sides.after.items for other in item["similar"]}
    unpinned = {str(item["product_id"]) for item in sides.before if item["pinned"]} - set(topic.pinned)
    for name in names:
        if name not in there:
            yield name, "the product was removed"
        elif name in topic.hidden:
            yield name, "hidden by the topic"
        elif name not in allowed:
            yield name, f"it no longer fulfils the filter {topic.where}"
        elif image_of[name] in shown_with:
            yield name, f"nearly the same as {shown_with[image_of[name]]}, which is shown for both"
        elif name in unpinned:
            yield name, "no longer pinned by the topic"
        else:
            yield name, _displaced(sides.after.probabilities.get(name), sides)


def _displaced(probability: float | None, sides: Sides) -> str:
    """Why a product that could be on the page is not."""
    least = sides.topic.min_probability
    if probability is not None and least is not None and probability < least:
        return f"below the threshold: {probability:.2f}"
    if len(sides.after.items) >= sides.topic.top_k or probability is None:
        nearer = all(item["probability"] is None for item in sides.after.items)
        return f"displaced by {'products nearer to the topic' if nearer else 'more probable products'}"
    return f"not likely enough any more: {probability:.2f}"


def _entered(names: Sequence[str], new: Mapping[str, Item], sides: Sides) -> Iterator[tuple[str, str]]:
    """Why each of these products is on the page now."""
    if not names:
        return
    where = sides.topic.where
    existed, allowed = set(names), set(names)
    if sides.opened is None and sides.former is not None:
        existed, allowed = _having(sides.former, names, where)
    for name in names:
        likely = new[name]["probability"]
        told = "" if likely is None else f", probability {likely:.2f}"
        if new[name]["pinned"]:
            yield name, "pinned by the topic"
        elif sides.opened is not None:
            yield name, sides.opened + told
        elif name not in existed:
            yield name, "a new product" + told
        elif name not in allowed:
            yield name, f"it fulfils the filter {where} now{told}"
        elif likely is None:
            yield name, "among the nearest to the topic now"
        else:
            yield name, f"among the most probable now{told}"


def _having(index: ProductIndex, names: Sequence[str], where: str | None) -> tuple[set[str], set[str]]:
    """The products that an index has, and those of them that a filter lets through."""
    there = set(index.images_of(names).values())
    return there, there if where is None else set(index.images_of(names, where).values())


def _moved(old: Item, new: Item) -> str:
    ranks = f"from {old['rank']} to {new['rank']}"
    if new["pinned"] != old["pinned"]:
        return f"{ranks}: {'pinned' if new['pinned'] else 'no longer pinned'} by the topic"
    if new["pinned"]:
        return f"{ranks}: the order of pinned products"
    if None not in (old["probability"], new["probability"]) and new["probability"] != old["probability"]:
        return f"{ranks}: its probability is {new['probability']:.2f} and was {old['probability']:.2f}"
    return f"{ranks}: what is shown before it changed"


def _out_of_order(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """Of the products on both pages, those that do not stand in the order in which the others stayed."""
    staying = [name for name in new if name in set(old)]
    former = [name for name in old if name in set(new)]
    blocks = SequenceMatcher(None, former, staying, autojunk=False).get_matching_blocks()
    kept = {name for block in blocks for name in staying[block.b : block.b + block.size]}
    return [name for name in staying if name not in kept]
