"""How good topic pages are, beside two baselines: full text over titles, and recall alone.

Shapes: t topics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from interbert.errors import ColumnError, UsageError
from interbert.extraction.columns import id_text
from interbert.search.vectors import unit_rows
from interbert.topics.encoding import directions, encode_wordings
from interbert.topics.recommend import PageSettings, TopicRecommender
from interbert.topics.topic_file import Topic
from interbert.utils.terminal import progress_bar

PRECISION_AT, GAIN_AT = 10, 20


@dataclass(frozen=True)
class TopicScore:
    """What one method gave one topic."""

    precision: float
    """Right among the first 10, by min(10, relevant products): an empty place counts as wrong."""
    gain: float
    """nDCG of the first 20 with relevance 0 or 1."""
    shown: int
    """Items among the first 10."""
    wrong: int
    """Wrong items among the first 10."""
    difference: float | None
    """1 - mean cosine between the images of the first 10; None with fewer than two."""


@dataclass(frozen=True)
class MethodScore:
    """Means over topics."""

    precision_at_10: float
    ndcg_at_20: float
    shown: float
    wrong: float
    coverage: float
    """Share of the catalogue's products that are among some topic's first 20."""
    diversity: float
    topics: dict[str, TopicScore]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class TopicReport:
    """Every method over the same topics."""

    methods: dict[str, MethodScore]
    judged: int
    """Topics with a relevant product."""
    left_out: list[str]
    """Topics without one."""
    products: int


def evaluate_topics(
    recommender: TopicRecommender, topics: Sequence[Topic], settings: PageSettings, progress: bool = False
) -> TopicReport:
    """Judge pages, their ranking without threshold and diversity, and the baselines.

    Titles and columns of the catalogue are not read by what is ranked here, except by the baseline of titles; columns
    say afterwards what was relevant.

    Args:
        recommender: of the index.
        topics: with rules of relevance.
        settings: of the pages.
        progress: show a bar.

    Raises:
        UsageError: no topic has a rule, none has a relevant product, or one has a filter that is wrong; it is named.
        ColumnError: a rule names a column that the index does not have.
    """
    relevant, count = relevant_products(recommender, topics)
    judged = [topic for topic in topics if relevant[topic.topic_id]]
    if not judged:
        raise UsageError("topics evaluate: no topic has a relevant product in this index.")
    unbounded = replace(
        settings, min_probability=0.0, diversity=0.0, diversify_by=(), top_k=max(settings.top_k, GAIN_AT)
    )
    names = ("titles, full text", "recall only", "topics, ranked", "topics, page")
    scores: dict[str, dict[str, TopicScore]] = {name: {} for name in names}
    seen: dict[str, set[str]] = {name: set() for name in names}
    with progress_bar("judging", len(judged), "topics", progress) as advance:
        for topic in judged:
            try:
                lists = _lists(recommender, topic, settings, unbounded, names)
            except UsageError as error:
                raise UsageError(f"topic {topic.topic_id}: {error}") from error
            for name, listed in lists.items():
                scores[name][topic.topic_id] = _score(recommender, listed, relevant[topic.topic_id])
                seen[name] |= {product for _, product in listed[:GAIN_AT]}
            advance(1)
    methods = {name: _means(scores[name], len(seen[name]) / max(count, 1)) for name in names}
    left_out = [topic.topic_id for topic in topics if not relevant[topic.topic_id]]
    return TopicReport(methods, len(judged), left_out, count)


def relevant_products(recommender: TopicRecommender, topics: Sequence[Topic]) -> tuple[dict[str, set[str]], int]:
    """Relevant product ids of each topic by its rule, and how many products the index has.

    Raises:
        UsageError: no topic has a rule.
        ColumnError: a rule names a column that the index does not have.
    """
    index = recommender.index
    fields = {column.name: column.field for column in index.metadata_columns}
    wanted = sorted({name for topic in topics for name in topic.relevant})
    if not wanted:
        raise UsageError("topics evaluate: no topic says what is relevant. Give every line a 'relevant' object.")
    for name in wanted:
        if name not in fields:
            raise ColumnError.missing(name, fields, index.path)
    products: dict[str, list[Mapping[str, set[str]]]] = {}
    for batch in index.scan(["product_id", *(fields[name] for name in wanted)], 8192):
        for row in batch.to_pylist():
            values = {name: _texts(row[fields[name]]) for name in wanted}
            products.setdefault(str(row["product_id"]), []).append(values)
    relevant = {
        topic.topic_id: {
            product
            for product, images in products.items()
            if topic.relevant
            and any(
                all(values[name].intersection(listed) for name, listed in topic.relevant.items()) for values in images
            )
        }
        for topic in topics
    }
    return relevant, len(products)


def _texts(value: Any) -> set[str]:
    """What a rule may call a value: a list's members; a whole number without a fraction, even of a column of floats."""
    if isinstance(value, list):
        return {str(one) for one in value}
    text = id_text(value)
    return {str(value)} if text is None else {str(value), text}


def precision_at(listed: Sequence[str], relevant: set[str], k: int = PRECISION_AT) -> float:
    """Right products among the first ``k``, by ``min(k, number of relevant products)``."""
    return len(relevant & set(listed[:k])) / min(k, len(relevant))


def ndcg_at(listed: Sequence[str], relevant: set[str], k: int = GAIN_AT) -> float:
    """Discounted gain of the first ``k`` by that of a perfect list; relevance is 0 or 1."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    gains = np.array([product in relevant for product in listed[:k]], dtype=float)
    return float((gains * discounts[: len(gains)]).sum() / discounts[: min(k, len(relevant))].sum())


def _lists(
    recommender: TopicRecommender,
    topic: Topic,
    settings: PageSettings,
    unbounded: PageSettings,
    names: Sequence[str],
) -> dict[str, list[tuple[str, str]]]:
    """(image, product) of every method's list, best first."""
    index, encoder = recommender.index, recommender.encoder

    def known(texts: Sequence[str]) -> bool:
        return any(map(encoder.knows, encoder.texts_to_ids(texts)))

    titles = index.full_text_search(" ".join(topic.texts), GAIN_AT, topic.where)
    recalled, ranked, page = [], [], []
    if known(topic.texts):
        vectors, _ = encode_wordings(encoder, topic.texts)
        recalled = index.vector_search(vectors.mean(axis=0), GAIN_AT, topic.where)
    if known(recommender.wordings(topic.texts)):  # else the model has no page for it
        ranked, page = (recommender.page(topic.texts, topic.where, one) for one in (unbounded, settings))
    lists = (titles, recalled, ranked, page)
    return {name: [(one.id, one.product_id) for one in listed] for name, listed in zip(names, lists, strict=True)}


def _score(recommender: TopicRecommender, listed: Sequence[tuple[str, str]], relevant: set[str]) -> TopicScore:
    products = [product for _, product in listed]
    first = products[:PRECISION_AT]
    return TopicScore(
        precision_at(products, relevant),
        ndcg_at(products, relevant),
        len(first),
        sum(product not in relevant for product in first),
        _difference(recommender, [image for image, _ in listed[:PRECISION_AT]]),
    )


def _difference(recommender: TopicRecommender, images: Sequence[str]) -> float | None:
    if len(images) < 2:
        return None
    unit = unit_rows(directions(recommender.encoder, recommender.index.vectors(images)))
    others = len(unit) * (len(unit) - 1)
    return float(1 - ((unit @ unit.T).sum() - len(unit)) / others)


def _means(scores: dict[str, TopicScore], coverage: float) -> MethodScore:
    listed = list(scores.values())
    differences = [one.difference for one in listed if one.difference is not None]
    return MethodScore(
        precision_at_10=float(np.mean([one.precision for one in listed])),
        ndcg_at_20=float(np.mean([one.gain for one in listed])),
        shown=float(np.mean([one.shown for one in listed])),
        wrong=float(np.mean([one.wrong for one in listed])),
        coverage=coverage,
        diversity=float(np.mean(differences)) if differences else 0.0,
        topics=scores,
    )
