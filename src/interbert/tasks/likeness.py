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
_NEIGHBOURS = 5
_FEWEST = 4 * _NEIGHBOURS
"""Images that tell a share."""


def components_of(images: Sequence[RegionArrays]) -> tuple[Float32, Float32]:
    """Mean [F] and principal components [F,L] of the global tokens' features, each component half way to unit variance.

    Args:
        images: model inputs of two images or more.
    """
    features = np.stack([one[0][0] for one in images]).astype(np.float64)
    mean = features.mean(axis=0)
    _, sizes, components = np.linalg.svd(features - mean, full_matrices=False)
    sizes = sizes / np.sqrt(len(images))
    used = min(MOST_COMPONENTS, int((sizes > 1e-6 * sizes[0]).sum()))
    scaled = components[:used].T / np.sqrt(sizes[:used])
    return mean.astype(np.float32), scaled.astype(np.float32)


def fit_share(trained: Float32, seen: Float32, texts: Sequence[str]) -> float:
    """The share of ``seen`` at which an image's nearest others have the likest texts; the least of equals.

    Texts are compared by their words (TF-IDF cosine), so no class need be known.

    Args:
        trained: unit vectors [n,D].
        seen: unit vectors [n,L].
        texts: of each image, all of its own.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    if len(texts) < _FEWEST or not any(words_of(text) for text in texts):
        return 0.5
    words = TfidfVectorizer(analyzer=words_of, dtype=np.float32).fit_transform(texts)
    alike = (words @ words.T).toarray()
    own = np.eye(len(texts), dtype=np.bool_)
    by_vectors, by_features = trained @ trained.T, seen @ seen.T
    worth = []
    for share in _SHARES:
        nearness = np.where(own, -np.inf, (1 - share) * by_vectors + share * by_features)
        nearest = np.argsort(-nearness, axis=1, kind="stable")[:, :_NEIGHBOURS]
        worth.append(float(np.take_along_axis(alike, nearest, axis=1).mean()))
    return float(_SHARES[int(np.argmax(np.round(worth, 6)))])


def keep_likeness(
    model: InterBertForImageTextRetrieval,
    images: Sequence[RegionArrays],
    validation: Sequence[RegionArrays],
    texts: Sequence[str],
) -> float:
    """Give a finished model the components of ``images``, at the share that validation images and their texts ask for.

    Args:
        model: with a dual encoder.
        images: model inputs of training images, two or more.
        validation: model inputs of other images.
        texts: of each of those.

    Returns:
        the share.
    """
    mean, components = (torch.from_numpy(one) for one in components_of(images))
    model.keep_likeness(mean, components, 0.5)
    assert model.likeness is not None
    features = torch.from_numpy(np.stack([one[0][:1] for one in validation])).to(model.device)
    with torch.inference_mode():
        seen: Float32 = model.likeness(features).cpu().numpy()
    assert model.config.contrastive_size is not None
    trained = encode_images(model, validation)[:, : model.config.contrastive_size]
    model.config.likeness_share = fit_share(trained, seen, texts)
    return float(model.config.likeness_share)
