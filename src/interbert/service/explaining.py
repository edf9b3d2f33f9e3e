"""Explanations of pairs, computed one after the other in a thread of their own: searches go on beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

from interbert.explain import Explanation, ImageTokens, explain
from interbert.extraction.grid import GridExtractor
from interbert.extraction.images import load_image
from interbert.extraction.windows import window_fractions
from interbert.search.index import ProductIndex
from interbert.search.products import find_images
from interbert.search.query_encoder import ProductEncoder
from interbert.search.versions import View
from interbert.service.errors import ServiceError
from interbert.service.metrics import Metrics
from interbert.service.slots import Slots

if TYPE_CHECKING:
    from PIL import Image

_T = TypeVar("_T")


class Explanations:
    """Who computes explanations, and how many may wait.

    Each takes one core: torch has one thread here.

    Args:
        metrics: counts refusals.
        waiting: requests that may wait behind the one at work; more are refused.
    """

    def __init__(self, metrics: Metrics, waiting: int) -> None:
        self._slots = Slots(1, waiting, metrics, "Too many explanations wait.")
        self._thread = ThreadPoolExecutor(1, "interbert-explain", torch.set_num_threads, (1,))

    async def compute(self, work: Callable[[], _T]) -> _T:
        """What ``work`` returns, in its turn.

        Raises:
            ServiceError: ``overloaded``; and what ``work`` raises.
        """
        async with self._slots.taking():
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def stop(self) -> None:
        """End, after the one at work."""
        await asyncio.to_thread(self._thread.shutdown)


def explain_image(view: View, text: str, image: Image.Image) -> Explanation:
    """A text and an image of a request.

    Raises:
        UsageError: the text holds no word that the model knows.
        RegionError: the extractor finds no sound regions in the image.
    """
    encoder = view.encoder
    return explain(encoder.model, encoder.processor, text, encoder.extractor.detect([image])[0])


def explain_product(view: View, text: str, product_id: str) -> tuple[str, Explanation]:
    """A text and a product's image: the one of its id, else the first by id.

    Returns:
        the image's id, and the explanation of what the index keeps of it; see :func:`stored_tokens`.

    Raises:
        UsageError: the text holds no word that the model knows.
        ServiceError: ``not_found``.
        VectorIndexError: the index is damaged.
    """
    index, encoder = cast(ProductIndex, view.index), view.encoder
    images, _ = find_images(index, [product_id])
    if not images:
        raise ServiceError("not_found", "There is no such product in the index.", "product_id")
    chosen = min(images, key=lambda name: (name != product_id, name))
    tokens = stored_tokens(index, encoder, chosen)
    if tokens is not None:
        return chosen, explain(encoder.model, encoder.processor, text, tokens)
    thumbnail = load_image(index.thumbnails([chosen])[0], "the product's thumbnail")
    return chosen, explain_image(view, text, thumbnail)


def stored_tokens(index: ProductIndex, encoder: ProductEncoder, image_id: str) -> ImageTokens | None:
    """The tokens by which searches score an image, and their boxes.

    An index keeps no boxes. Windows of the grid extractor are the same shares of every image; boxes of other
    extractors are not known.

    Returns:
        None where boxes are not known: the regions must be found again, in the thumbnail.
    """
    extractor = encoder.extractor
    if not isinstance(extractor, GridExtractor):
        return None
    (tokens,) = index.regions([image_id])
    boxes: NDArray[np.float32] = window_fractions(extractor.settings.scales, extractor.settings.overlap)
    return ImageTokens(tokens, boxes) if len(tokens) == len(boxes) + 1 else None
