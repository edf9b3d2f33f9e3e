"""Search without training: the extractor's features, reached by the titles of the training images.

A text is sought as what training images with titles like it look like: the mean of their features, weighted by how
many words their titles share with it (TF-IDF cosine). A model that is no better than this has learnt nothing that
titles and an ImageNet network do not give.

Shapes: p training pairs, t texts, n images, L numbers of an image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from interbert.data.texts import words_of

Float32 = NDArray[np.float32]

_AT_ONCE = 256
"""Texts compared with all titles at a time: where many share a word, that is a full matrix."""


def scores_by_titles(titles: Sequence[str], features: Float32, texts: Sequence[str], candidates: Float32) -> Float32:
    """Scores [t,n] of texts and images by nothing but features and titles.

    A text that shares no word with any title has equal scores.

    Args:
        titles: [p] of the training pairs.
        features: [p,L] unit vectors of their images.
        texts: [t] to search for.
        candidates: [n,L] unit vectors of the images to rank.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(words_of(title) for title in titles):
        return np.zeros((len(texts), len(candidates)), dtype=np.float32)
    words = TfidfVectorizer(analyzer=words_of, dtype=np.float32)
    known = words.fit_transform(titles)
    asked = words.transform(texts)
    blocks = (asked[start : start + _AT_ONCE] for start in range(0, len(texts), _AT_ONCE))
    # squared, so that a title with all of the words counts more than several with one of them
    expected = np.concatenate([(block @ known.T).power(2) @ features for block in blocks])
    scores: Float32 = (expected / np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-9)) @ candidates.T
    return scores
