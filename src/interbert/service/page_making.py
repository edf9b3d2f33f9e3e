"""A topic of the service as one page: checked, made, and with what the topic's owner should know about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from interbert.errors import CheckpointError, ColumnError, UsageError
from interbert.search.hits import Hit
from interbert.search.index import ProductIndex
from interbert.service.errors import ServiceError
from interbert.service.schemas.common import json_safe
from interbert.service.state.records import TopicRow
from interbert.topics.encoding import encode_wordings
from interbert.topics.recommend import PageSettings, TopicRecommender
from interbert.topics.selection import Candidates, doubt, select_items

NOT_PUBLISHED = "the topic is not published"
NOT_BEGUN = "its valid time has not begun"
ENDED = "its valid time has ended"
_UNTAUGHT = (
    "The model was never taught topics, so the page is ranked by the likeness of texts and images and has no "
    "probabilities."
)
_RECALLED = 200
"""Images that are looked at, at least."""


@dataclass(frozen=True)
class MadePage:
    """What a topic's page shows."""

    items: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)
    """What the topic's owner should know: pinned products that are not shown, a model without topics, doubts."""
    probabilities: Mapping[str, float | None] = field(default_factory=dict)
    """Of all candidates, by product."""


def closed(topic: TopicRow, now: datetime) -> str | None:
    """Why a topic has no page at a moment, as the end of a sentence; None when it has one."""
    if not topic.published:
        return NOT_PUBLISHED
    if topic.valid_from is not None and now < utc(topic.valid_from):
        return NOT_BEGUN
    if topic.valid_to is not None and now >= utc(topic.valid_to):
        return ENDED
    return None


def utc(moment: datetime) -> datetime:
    """A moment with its time zone; one without is UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def require_possible(recommender: TopicRecommender, topic: TopicRow) -> None:
    """Check that a page can be made of a topic, without making it.

    Raises:
        FilterError: the filter is wrong at a character that is named.
        ServiceError: ``invalid`` with the field.
    """
    if topic.where is not None:
        recommender.index.read_filter(topic.where)
    try:
        recommender.require_columns(topic.diversify_by)
    except ColumnError as error:
        message = str(error).removeprefix(f"{recommender.index.path}: ")  # which is shown as a note of the page, too
        raise ServiceError("invalid", f"{message[:1].upper()}{message[1:]}", "diversify_by") from error
    if topic.min_probability is not None and recommender.memory is None:
        message = (
            "min_probability needs a model that was taught topics, and this index's was not: its pages have no "
            "probabilities. Leave it out, or teach the model with: interbert topics learn MODEL REGIONS"
        )
        raise ServiceError("invalid", message, "min_probability")
    try:
        encode_wordings(recommender.encoder, recommender.wordings(topic.texts))
    except CheckpointError as error:
        raise ServiceError.of(error) from error
    except UsageError as error:
        raise ServiceError.of(error, "texts") from error


def made_page(recommender: TopicRecommender, topic: TopicRow) -> MadePage:
    """Make a topic's page of the index as it is now.

    Raises:
        FilterError, ServiceError: as :func:`require_possible`.
        VectorIndexError: the index cannot be read.
    """
    require_possible(recommender, topic)
    settings = page_settings(topic)
    candidates = recommender.candidates(topic.texts, topic.where, settings, topic.pinned)
    size = recommender.encoder.direction_size
    hits = select_items(candidates, settings, size, topic.pinned, frozenset(topic.hidden))
    notes = _unshown(topic, candidates, recommender.index)
    if recommender.memory is None:
        notes.append(_UNTAUGHT)
    note = doubt(candidates)
    if note and any(hit.product_id not in topic.pinned for hit in hits):
        notes.append(f"{note[:1].upper()}{note[1:]}.")
    return MadePage(
        [page_item(hit, hit.product_id in topic.pinned) for hit in hits],
        notes,
        {name: candidates.probability(name) for name in candidates.best},
    )


def page_settings(topic: TopicRow) -> PageSettings:
    """How a topic's page is made; as many more images are looked at as its hidden products may take away."""
    recalled = max(_RECALLED, 2 * topic.top_k) + len(topic.hidden)
    trade = PageSettings.diversity if topic.diversity is None else topic.diversity
    return PageSettings(topic.top_k, topic.min_probability, trade, tuple(topic.diversify_by), recalled).check()


def page_item(hit: Hit, pinned: bool) -> dict[str, Any]:
    """An item of a page, as JSON; its probability has four digits."""
    return {
        "rank": hit.rank,
        "product_id": hit.product_id,
        "image_id": hit.id,
        "probability": None if hit.probability is None else round(hit.probability, 4),
        "pinned": pinned,
        "texts": list(hit.texts),
        "metadata": json_safe(hit.metadata),
        "similar": list(hit.similar),
    }


def _unshown(topic: TopicRow, candidates: Candidates, index: ProductIndex) -> list[str]:
    """A note for each pinned product that the page cannot show."""
    lacking = [name for name in topic.pinned if name not in candidates.best]
    there = set(index.images_of(lacking).values())
    return [
        f"The pinned product {name!r} "
        + (f"does not fulfil the filter {topic.where}." if name in there else "is not in the index.")
        for name in lacking
    ]
