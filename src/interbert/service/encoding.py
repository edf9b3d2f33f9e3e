"""Texts and images that are encoded, and pairs that are scored, on their way through the queues of a search.

A request of many texts or images comes to a queue with one part after the other, so that searches go in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from interbert.errors import InterBertError
from interbert.search.engine import SearchEngine
from interbert.search.versions import View
from interbert.service.queues import BatchQueue
from interbert.service.work import Work

if TYPE_CHECKING:
    from PIL import Image

Float32 = NDArray[np.float32]
Described = tuple[Float32, Float32]
"""An image's vector [D] and its embedded tokens [R,H]."""

_TEXT_TOKENS = 256
"""Of a part of a request of many texts."""
_IMAGE_TOKENS = 512
"""What an image to describe costs: it takes about as long as so many tokens of texts."""


class ModelRequests:
    """What the service is asked of the model itself.

    Args:
        engine: of the index whose model it is.
        encode_queue: where texts and images wait.
        joint_queue: where pairs wait.
        joint_tokens: of a part of a request of many pairs.
    """

    def __init__(
        self, engine: SearchEngine, encode_queue: BatchQueue, joint_queue: BatchQueue, joint_tokens: int
    ) -> None:
        self._engine = engine
        self._encode_queue = encode_queue
        self._joint_queue = joint_queue
        self._joint_tokens = joint_tokens

    async def image_vector(self, image: Image.Image, version: str | None) -> Float32:
        """An image as part [D] of a query; raises as :meth:`Pipeline.image_vector
        <interbert.service.pipeline.Pipeline.image_vector>`."""
        self._encode_queue.require_place()

        def compute(images: Sequence[Image.Image]) -> list[Float32 | InterBertError]:
            view = self._engine.pinned(version)
            view.encoder.require_recall()
            return [_query_vector(view, one) for one in images]

        done = await self._encode_queue.compute(Work(image, compute, _IMAGE_TOKENS, ("image", version)))
        vector: Float32 = done.value
        return vector

    async def encode_texts(self, view: View, texts: Sequence[str]) -> Float32:
        """Vectors [n,D]; raises as :meth:`Pipeline.encode_texts <interbert.service.pipeline.Pipeline.encode_texts>`."""
        view.encoder.require_recall()
        self._encode_queue.require_place()
        parts = [(await self._texts(view, part))[1] for part in _parts(texts)]
        return np.concatenate(parts) if parts else np.empty((0, view.encoder.vector_size), np.float32)

    async def encode_images(self, view: View, images: Sequence[Image.Image]) -> Float32:
        """Vectors [n,D]; raises as :meth:`Pipeline.encode_images
        <interbert.service.pipeline.Pipeline.encode_images>`."""
        view.encoder.require_recall()
        self._encode_queue.require_place()
        vectors = [(await self._image(view, image, f"images[{place}]"))[0] for place, image in enumerate(images)]
        return np.stack(vectors) if vectors else np.empty((0, view.encoder.vector_size), np.float32)

    async def score(self, view: View, text: str, images: Sequence[Image.Image]) -> list[float]:
        """Probabilities [n]; raises as :meth:`Pipeline.score <interbert.service.pipeline.Pipeline.score>`."""
        self._encode_queue.require_place()
        described = [await self._image(view, image, f"images[{place}]") for place, image in enumerate(images)]
        return await self.score_described(view, text, described)

    async def score_described(self, view: View, text: str, described: Sequence[Described]) -> list[float]:
        """Probabilities [n] of images that are described already; raises as :meth:`score`."""
        (ids,), (vector,) = await self._texts(view, [text])
        scores: list[float] = []
        part: list[Described] = []
        for place, one in enumerate(described, start=1):
            part.append(one)
            tokens = sum(len(ids) + len(image_tokens) for _, image_tokens in part)
            if tokens >= self._joint_tokens or place == len(described):
                work = Work((view, ids, vector, part), _joint, tokens, ("pairs", view.version))
                scores += (await self._joint_queue.compute(work)).value
                part = []
        return scores

    async def _texts(self, view: View, texts: Sequence[str]) -> tuple[list[list[int]], Float32]:
        """Token ids and vectors [n,D] of a part of a request."""

        def compute(parts: Sequence[Sequence[str]]) -> list[tuple[list[list[int]], Float32]]:
            ids, vectors = view.encoder.texts([text for part in parts for text in part])
            ends = np.cumsum([len(part) for part in parts]).tolist()
            return [
                (ids[end - len(part) : end], vectors[end - len(part) : end])
                for part, end in zip(parts, ends, strict=True)
            ]

        tokens = sum(map(text_tokens, texts))
        done = await self._encode_queue.compute(Work(texts, compute, tokens, ("texts", view.version), tuple(texts)))
        found: tuple[list[list[int]], Float32] = done.value
        return found

    async def _image(self, view: View, image: Image.Image, where: str) -> Described:
        def compute(items: Sequence[tuple[Image.Image, str]]) -> list[Described | InterBertError]:
            return [_described(view, *item) for item in items]

        done = await self._encode_queue.compute(Work((image, where), compute, _IMAGE_TOKENS, ("images", view.version)))
        described: Described = done.value
        return described


def text_tokens(text: str) -> int:
    """About as many tokens as a text has: words in Latin letters have one in about three, Chinese ones one a sign."""
    return 2 + len(text.encode()) // 3


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    part: list[str] = []
    tokens = 0
    for text in texts:
        if part and tokens + text_tokens(text) > _TEXT_TOKENS:
            yield part
            part, tokens = [], 0
        part.append(text)
        tokens += text_tokens(text)
    if part:
        yield part


def _query_vector(view: View, image: Image.Image) -> Float32 | InterBertError:
    try:
        return view.encoder.image_vector(image, view.index.mirrored)
    except InterBertError as error:
        return error


def _described(view: View, image: Image.Image, where: str) -> Described | InterBertError:
    """An image as an index would keep it."""
    try:
        vectors, tokens = view.encoder.described(image, where, view.index.mirrored)
    except InterBertError as error:
        return error
    return vectors[0], tokens[0]


def _joint(items: Sequence[tuple[View, list[int], Float32, list[Described]]]) -> list[list[float] | InterBertError]:
    """Probabilities of the pairs of each item."""
    scores: list[list[float] | InterBertError] = []
    for view, ids, vector, described in items:
        recalled = np.array([[image @ vector for image, _ in described]], np.float32)
        try:
            scores.append(expit(view.encoder.joint([ids], [tokens for _, tokens in described], recalled)[0]).tolist())
        except InterBertError as error:
            scores.append(error)
    return scores
