"""Probabilities of a text and products of an index, by the stored tokens of their images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import numpy as np
from fastapi.concurrency import run_in_threadpool
from scipy.special import expit

from interbert.search.index import ProductIndex
from interbert.search.products import find_images
from interbert.service.errors import ServiceError

if TYPE_CHECKING:
    from interbert.service.service import ServedIndex


async def product_scores(served: ServedIndex, query: str, products: Mapping[int, str]) -> dict[int, float]:
    """Probability of a match by the product's best image, for each place of a request's documents.

    Args:
        served: the index.
        query: a text.
        products: ids by place.

    Raises:
        ServiceError: ``invalid``, for an id that is none of the index's.
    """
    return await run_in_threadpool(_scores, served, query, products) if products else {}


def _scores(served: ServedIndex, query: str, products: Mapping[int, str]) -> dict[int, float]:
    index = cast(ProductIndex, served.engine.index)
    product_of, missing = find_images(index, sorted(set(products.values())))
    for place, product in products.items():
        if product in set(missing):
            message = f"{product[:60]!r} is no product of the index, and no image: send data:image/...;base64,..."
            raise ServiceError("invalid", message, f"documents[{place}]")
    hits = index.hits(list(product_of))
    ids, vectors = served.engine.encoder.texts([query])
    recalled = np.stack([hit.vector for hit in hits]) @ vectors[0]
    probabilities = expit(served.engine.joint(ids, hits, recalled[None])[0])
    best: dict[str, float] = {}
    for hit, probability in zip(hits, probabilities.tolist(), strict=True):
        for name in {product_of[hit.id], hit.id, hit.product_id}:  # an id may be an image's, and its product's another
            best[name] = max(best.get(name, 0.0), probability)
    return {place: best[product] for place, product in products.items()}
