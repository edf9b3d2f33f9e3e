"""Images compared with images: by trained vectors and by the features they are made from, at a fitted share.

Shapes: n images, F region feature size, L components, D vector size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from interbert.data.texts import words_of
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.scoring import encode_images
from interbert.utils.stored_names import RegionArrays

Float32 = NDArray[np.float32]

MOST_COMPONENTS = 128
"""As many find an image of the same kind first as often as all numbers do (benchmarks/results/likeness.md)."""
_SHARES = np.linspace(0.0, 1.0, 11)
_UNTOLD = 0.5
"""The share where texts tell none."""
_NEIGHBOURS = 5
_FEWEST = 4 * _NEIGHBOURS
"""Images that tell a share."""


def components_of(features: Float32) -> tuple[Float32, Float32]:
    """Mean [F] and principal components [F,L] of features [n,F], each component half way to unit variance.

    There is none where all features are the same.
    """
    features = features.astype(np.float64)
    mean = features.mean(axis=0)
    _, sizes, components = np.linalg.svd(features - mean, full_matrices=False)
    sizes = sizes / np.sqrt(len(features))
    used = min(MOST_COMPONENTS, int((sizes > 1e-6 * max(sizes[0], np.abs(mean).max())).sum()))
    scaled = components[:used].T / np.sqrt(sizes[:used])
    return mean.astype(np.float32), scaled.astype(np.float32)


def fit_share(trained: Float32, seen: Float32, texts: Sequence[str]) -> float:
    """The share of ``seen`` at which an image's nearest others have the likest texts; the least of equals.

    Texts are compared by their words (TF-IDF cosine), so no class need be known. A half where they tell none.

    Args:
        trained: unit vectors [n,D].
        seen: unit vectors [n,L].
        texts: of each image, all of its own.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    if len(texts) < _FEWEST or not any(words_of(text) for text in texts):
        return _UNTOLD
    words = TfidfVectorizer(analyzer=words_of, dtype=np.float32).fit_transform(texts)
    alike = (words @ words.T).toarray()
    own = np.eye(len(texts), dtype=np.bool_)
    by_vectors, by_features = trained @ trained.T, seen @ seen.T
    worth = []
    for share in _SHARES:
        nearness = np.where(own, -np.inf, (1 - share) * by_vectors + share * by_features)
        nearest = np.argsort(-nearness, axis=1, kind="stable")[:, :_NEIGHBOURS]
        worth.append(float(np.take_along_axis(alike, nearest, axis=1).mean()))
    worth = np.round(worth, 6).tolist()
    return _UNTOLD if min(worth) == max(worth) else float(_SHARES[int(np.argmax(worth))])


def keep_likeness(
    model: InterBertForImageTextRetrieval,
    features: Float32,
    validation: Sequence[RegionArrays],
    texts: Sequence[str],
) -> float | None:
    """Give a finished model the components of features, at the share that validation images and their texts ask for.

    Args:
        model: with a dual encoder.
        features: [n,F] of training images' global tokens.
        validation: model inputs of other images.
        texts: of each of those.

    Returns:
        the share; None where features tell no image from another, and the model stays without.
    """
    mean, components = (torch.from_numpy(one) for one in components_of(features))
    if not components.shape[1]:
        return None
    model.keep_likeness(mean, components, _UNTOLD)
    assert model.likeness is not None
    first = torch.from_numpy(np.stack([one[0][:1] for one in validation])).to(model.device)
    with torch.inference_mode():
        seen: Float32 = model.likeness(first).cpu().numpy()
    assert model.config.contrastive_size is not None
    trained = encode_images(model, validation)[:, : model.config.contrastive_size]
    model.config.likeness_share = fit_share(trained, seen, texts)
    return float(model.config.likeness_share)
