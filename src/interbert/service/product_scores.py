"""Probabilities of a text and products of an index, by the stored tokens of their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from fastapi.concurrency import run_in_threadpool

from interbert.search.hits import Hit
from interbert.search.index import ProductIndex
from interbert.search.products import find_images
from interbert.search.versions import View
from interbert.service.encoding import Described
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
        ServiceError: ``invalid`` for an id that is none of the index's, ``overloaded``.
    """
    if not products:
        return {}
    view = await run_in_threadpool(served.engine.pinned)
    names, described = await run_in_threadpool(_stored, view, products)
    best: dict[str, float] = {}
    for ids, probability in zip(names, await served.pipeline.score_described(view, query, described), strict=True):
        for name in ids:
            best[name] = max(best.get(name, 0.0), probability)
    return {place: best[product] for place, product in products.items()}


def _stored(view: View, products: Mapping[int, str]) -> tuple[list[set[str]], list[Described]]:
    """Of each image of the products: the ids that mean it, its vector [D] and its embedded tokens [R,H]."""
    index = cast(ProductIndex, view.index)
    id_of, missing = find_images(index, sorted(set(products.values())))
    for place, product in products.items():
        if product in missing:
            message = f"{product[:60]!r} is no product of the index, and no image: send data:image/...;base64,..."
            raise ServiceError("invalid", message, f"documents[{place}]")
    hits: Sequence[Hit] = index.hits(list(id_of))
    tokens = index.regions([hit.id for hit in hits])
    names = [{id_of[hit.id], hit.id, hit.product_id} for hit in hits]
    return names, [(hit.vector, one) for hit, one in zip(hits, tokens, strict=True)]
