"""Candidates of KDD Cup 2020 Multimodalities Recall, ranked by a model for each query."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interbert.data.row_files import BadRows
from interbert.errors import DataError, RegionError, SourceError
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.processing import InterBertProcessor
from interbert.model.scoring import score_listed_pairs
from interbert.regions.importers.detector_tsv import Line, LineFiles
from interbert.regions.importers.fields import text_of
from interbert.regions.store import RegionStore
from interbert.tasks.kdd import K
from interbert.tasks.retrieval import encode_images

_COLUMNS = 9
_HEADER = b"product_id"


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
    lines = LineFiles(source)
    columns = lines.usual_columns()
    if columns != _COLUMNS:
        raise SourceError(f"{source}: its lines have {columns} fields, KDD Cup's have {_COLUMNS}.")
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
        RegionError: one is missing, or the product's id has other signs than digits.
    """
    cells = line.cells(_COLUMNS)
    if cells[0].strip().lower() == _HEADER:
        return None
    product = text_of(cells[0], "the product's id", line.where)
    if not (product.isascii() and product.isdigit()):
        raise RegionError(f"{line.where}: the product's id is {product[:40]!r}, and has digits alone in a submission.")
    text = " ".join(text_of(cells[7], "the query", line.where).split())
    query = text_of(cells[8], "the query's id", line.where)
    if "," in query:
        raise RegionError(
            f"{line.where}: the query's id {query[:40]!r} has a comma, which separates a submission's cells."
        )
    return product, text, query


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
    places = {row: place for place, row in enumerate(row for rows in rows_of.values() for row in rows)}
    owners, images = _pairs(candidates, rows_of, places)
    texts = processor.texts_to_ids(tuple(candidates.texts.values()))
    inputs = encode_images(store, list(places), processor)
    scores = score_listed_pairs(model, texts, inputs, owners, images, progress, bf16=bf16)
    best: dict[tuple[int, int], float] = {}
    for owner, image, score in zip(owners.tolist(), images.tolist(), scores.tolist(), strict=True):
        best[owner, image] = score
    return _ordered(candidates, rows_of, places, best)


def _rows_of(store: RegionStore, wanted: set[str]) -> dict[str, list[int]]:
    rows_of: dict[str, list[int]] = {}
    for one in store.captions():
        name = one.product_id or one.image_id
        if one.view == 0 and name in wanted:
            rows_of.setdefault(name, []).append(one.row)
    return rows_of


def _pairs(
    candidates: Candidates, rows_of: Mapping[str, Sequence[int]], places: Mapping[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Query and image, by number, of every pair to score."""
    pairs = [
        (number, places[row])
        for number, products in enumerate(candidates.products.values())
        for product in products
        for row in rows_of.get(product, ())
    ]
    owners, images = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return owners, images


def _ordered(
    candidates: Candidates,
    rows_of: Mapping[str, Sequence[int]],
    places: Mapping[int, int],
    scores: Mapping[tuple[int, int], float],
) -> KddRanking:
    ranked: dict[str, tuple[str, ...]] = {}
    unseen: list[tuple[str, str]] = []
    for number, (query, products) in enumerate(candidates.products.items()):
        of_product = {
            product: max(scores[number, places[row]] for row in rows_of[product])
            for product in products
            if product in rows_of
        }
        unseen += [(query, product) for product in products if product not in of_product]
        # the file may have the right ones first: its order must not decide between equal scores
        ranked[query] = tuple(sorted(products, key=lambda one: (-of_product.get(one, -np.inf), int(one))))
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
