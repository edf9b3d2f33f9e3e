"""Candidates of KDD Cup 2020 Multimodalities Recall, ranked by a model for each query."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from interbert.data.row_files import BadRows
from interbert.errors import DataError, RegionError
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.processing import InterBertProcessor
from interbert.model.scoring import score_listed_pairs
from interbert.regions.importers.detector_tsv import Line
from interbert.regions.importers.kdd_files import open_lines, read_names
from interbert.regions.store import RegionStore
from interbert.tasks.kdd import K
from interbert.tasks.retrieval import encode_images

_BLOCK = 100
"""Queries whose candidates' regions are held at a time: 3,000 images, about 250 MB."""


@dataclass(frozen=True)
class Candidates:
    """What each query ranks: ``valid.tsv``, ``testA.tsv``, ``testB.tsv``."""

    texts: Mapping[str, str]
    """Query id -> query, in the file's order; quotes are part of a query."""
    products: Mapping[str, tuple[str, ...]]
    """Query id -> ids of its candidates."""


@dataclass(frozen=True)
class KddRanking:
    """The candidates of every query, best first."""

    products: Mapping[str, tuple[str, ...]]
    unseen: tuple[tuple[str, str], ...]
    """Query id and product id of the candidates that the store has no regions of; they rank last."""


def read_candidates(source: str) -> Candidates:
    """Queries with their candidates; regions are passed over.

    Args:
        source: file, or a pattern of several.

    Raises:
        SourceError: there is none, or it has other columns.
        DataError: lines are bad, or a query has fewer than five candidates.
    """
    lines = open_lines(source)
    texts: dict[str, str] = {}
    products: dict[str, dict[str, None]] = {}
    bad = BadRows(source)
    for line in lines:
        try:
            named = _named(line)
        except RegionError as error:
            where = f"{line.where}: " if len(lines.files) == 1 else ""
            bad.add(line.row + 1, str(error).removeprefix(where).rstrip("."))
            continue
        if named is None:
            continue
        product, text, query = named
        if texts.setdefault(query, text) != text:
            bad.add(line.row + 1, f"query {query[:40]} has another text than before")
        products.setdefault(query, {})[product] = None
    bad.refuse()
    few = next((query for query, found in products.items() if len(found) < K), None)
    if few is not None:
        raise DataError(
            f"{source}: query {few[:40]} has {len(products[few])} candidates, and a submission names {K}. Is the file "
            "whole?"
        )
    return Candidates(texts, {query: tuple(found) for query, found in products.items()})


def _named(line: Line) -> tuple[str, str, str] | None:
    """Product id, query and query id of a line; None for the header.

    Raises:
        RegionError: one is missing, or a submission could not have it.
    """
    names = read_names(line)
    if names is None:
        return None
    product, _, query = names
    if not (product.isascii() and product.isdigit()):
        raise RegionError(f"{line.where}: the product's id is {product[:40]!r}, and has digits alone in a submission.")
    if "," in query:
        raise RegionError(
            f"{line.where}: the query's id {query[:40]!r} has a comma, which separates a submission's cells."
        )
    return names


def rank_candidates(
    model: InterBertForImageTextRetrieval,
    candidates: Candidates,
    store: RegionStore,
    processor: InterBertProcessor,
    bf16: bool | None = None,
    progress: Callable[[int], None] | None = None,
) -> KddRanking:
    """Rank the candidates of every query by the model's fused score; equal ones by their ids.

    A product with several images is as good as its best.

    Args:
        model: with a matching head.
        candidates: of each query.
        store: with the candidates' regions, under their product ids or image ids.
        processor: the model's.
        bf16: score in bf16; None does where the device has it.
        progress: told how many pairs were scored.

    Raises:
        DataError: a score is not finite, or the store has none of the candidates.
    """
    rows_of = _rows_of(store, {one for products in candidates.products.values() for one in products})
    if not rows_of:
        raise DataError(
            f"{store.path}: has none of the candidates. Import their file with: interbert import kdd-tsv FILE OUT"
        )
    scores: dict[tuple[str, str], float] = {}
    queries = list(candidates.products)
    for start in range(0, len(queries), _BLOCK):
        pairs = _pairs(queries[start : start + _BLOCK], candidates, rows_of)
        if pairs:
            scores |= _scored(model, pairs, candidates, store, processor, bf16, progress)
    return _ordered(candidates, scores)


def _rows_of(store: RegionStore, wanted: set[str]) -> dict[str, list[int]]:
    rows_of: dict[str, list[int]] = {}
    for one in store.captions():
        name = one.product_id or one.image_id
        if one.view == 0 and name in wanted:
            rows_of.setdefault(name, []).append(one.row)
    return rows_of


def _pairs(
    queries: Sequence[str], candidates: Candidates, rows_of: Mapping[str, Sequence[int]]
) -> list[tuple[str, str, int]]:
    """Query, product and store row of every pair to score."""
    products = ((query, product) for query in queries for product in candidates.products[query])
    return [(query, product, row) for query, product in products for row in rows_of.get(product, ())]


def _scored(
    model: InterBertForImageTextRetrieval,
    pairs: Sequence[tuple[str, str, int]],
    candidates: Candidates,
    store: RegionStore,
    processor: InterBertProcessor,
    bf16: bool | None,
    progress: Callable[[int], None] | None,
) -> dict[tuple[str, str], float]:
    """Score of each query and product: that of the product's best image."""
    queries = {query: place for place, query in enumerate(dict.fromkeys(query for query, _, _ in pairs))}
    rows = {row: place for place, row in enumerate(dict.fromkeys(row for _, _, row in pairs))}
    texts = processor.texts_to_ids([candidates.texts[query] for query in queries])
    images = encode_images(store, list(rows), processor)
    owners = np.array([queries[query] for query, _, _ in pairs], dtype=np.int64)
    shown = np.array([rows[row] for _, _, row in pairs], dtype=np.int64)
    scores = score_listed_pairs(model, texts, images, owners, shown, progress, bf16=bf16)
    best: dict[tuple[str, str], float] = {}
    for (query, product, _), score in zip(pairs, scores.tolist(), strict=True):
        best[query, product] = max(score, best.get((query, product), score))
    return best


def _ordered(candidates: Candidates, scores: Mapping[tuple[str, str], float]) -> KddRanking:
    """Best first; equal ones by their ids, since the file may have the right ones first."""
    ranked: dict[str, tuple[str, ...]] = {}
    for query, products in candidates.products.items():
        ordered = sorted((-scores.get((query, one), -np.inf), int(one), one) for one in products)
        ranked[query] = tuple(product for *_, product in ordered)
    unseen = [(query, one) for query, products in ranked.items() for one in products if (query, one) not in scores]
    return KddRanking(ranked, tuple(unseen))


def require_answered(candidates: Candidates, answers: Mapping[str, Sequence[str]], source: str, where: str) -> None:
    """Check that every query of the answers has candidates.

    Args:
        candidates: read from ``source``.
        answers: read from ``where``.

    Raises:
        DataError: one has none.
    """
    missing = [query for query in answers if query not in candidates.products]
    if missing:
        raise DataError(
            f"{source}: has no candidates of {len(missing)} queries of {where}, such as {missing[0][:40]}. Give the "
            "candidates and answers of one split, whole."
        )


def chance_ndcg(candidates: Candidates, answers: Mapping[str, Sequence[str]]) -> float:
    """Expected nDCG@5 of a random order of each query's candidates, over every query of the answers."""
    gains = 1.0 / np.log2(np.arange(K) + 2.0)
    values = []
    for query, right in answers.items():
        products = candidates.products.get(query, ())
        share = len(set(products) & set(right)) / max(len(products), 1)
        values.append(share * gains.sum() / gains[: min(K, len(right))].sum() if right else 0.0)
    return float(np.mean(values))
