"""Texts and images as topics compare them, by a model's dual encoder.

Shapes: n texts, D vector size without the hub correction.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from interbert.errors import CheckpointError
from interbert.model.scoring import encode_texts
from interbert.search.query_encoder import ProductEncoder
from interbert.topics.examples import TopicText

Float32 = NDArray[np.float32]


def require_contrast(encoder: ProductEncoder, where: str) -> None:
    """Check that texts can be compared with texts: that takes a contrastive head.

    Raises:
        CheckpointError: the model has none.
    """
    if encoder.config.contrastive_size is None:
        raise CheckpointError(f"{where}: topics need a model trained with contrastive_size; this one has none.")


def directions(encoder: ProductEncoder, vectors: Float32) -> Float32:
    """Vectors [n,D] of images or texts without the hub correction."""
    return vectors[:, : encoder.direction_size]


def encode_wordings(encoder: ProductEncoder, texts: Sequence[str]) -> tuple[Float32, list[TopicText]]:
    """Vectors to search by, and what :class:`~interbert.topics.examples.Examples` compare.

    Of several wordings, those in a language that the model does not know are left out.

    Raises:
        UsageError: a text is empty, or none holds a token that the model knows.
    """
    tokens = encoder.texts_to_ids(texts)
    known = [text for text, own in zip(texts, tokens, strict=True) if not text.strip() or encoder.knows(own)]
    _, vectors = encoder.texts(known or texts)
    short = directions(encoder, vectors)
    return vectors, [TopicText(text, vector) for text, vector in zip(known or texts, short, strict=True)]


def encode_titles(encoder: ProductEncoder, texts: Sequence[str]) -> Float32:
    """Dual encoder's vectors [n,D] of texts; those that are the same are encoded once."""
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    vectors = encode_texts(encoder.model, encoder.texts_to_ids(list(places)), encoder.bf16)
    return directions(encoder, vectors)[[places[text] for text in texts]]
