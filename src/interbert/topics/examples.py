"""What images show, by their regions: evidence beside the dual encoder's vectors, which keep what titles told apart.

Shapes: n examples, m images, R image tokens (global token first), H hidden size, P components.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.data.texts import has_cjk, is_cjk, word_tokens
from interbert.search.hits import standardised
from interbert.search.vectors import fixed_blocks, unit_rows
from interbert.topics.chinese_dictionary import ChineseDictionary
from interbert.topics.facets import Facets

Float32 = NDArray[np.float32]

_COMPONENTS = 512


def pooled_visual_features(tokens: Sequence[Float32]) -> Float32:
    """Of embedded tokens [R,H] of each of m images, their mean and the global one: [m,2H]."""
    return np.stack([np.concatenate([one.mean(axis=0), one[0]]) for one in tokens]).astype(np.float32)


class VisualFeatureSpace:
    """Principal components of pooled tokens, each divided by the square root of its standard deviation.

    Args:
        pooled: [n,2H], of the examples.
    """

    def __init__(self, pooled: Float32) -> None:
        from sklearn.decomposition import PCA

        count = max(min(_COMPONENTS, len(pooled) - 1, pooled.shape[1]), 1)
        self._pca = PCA(count, svd_solver="covariance_eigh").fit(pooled)
        deviation = np.sqrt(self._pca.explained_variance_)
        self._scale = 1 / np.sqrt(deviation.clip(min=1e-6 * max(float(deviation.max()), 1e-6)))
        self.known = self.project(pooled)
        """[n,P], of the examples."""

    def project(self, pooled: Float32) -> Float32:
        """Of pooled tokens [m,2H], the components, with length 1; [m,P]."""
        return unit_rows((self._pca.transform(pooled) * self._scale).astype(np.float32))


_NEIGHBOURS = 50
"""By vectors, and as many by visual features."""
_TEMPERATURE = 0.07
"""Of the neighbours' weights, in cosines."""
_BORDER, _SOFTNESS = 0.7, 0.3
"""A label is a half at this share of the best examples' level; and how fast it changes, in standard deviations."""
_SUREST = 20
"""Examples that say what the best level is."""
_FLOOR = 1e-6
_BEST = 100
"""Examples that prototypes are made of."""
_LETTERS, _CHARACTERS = 4, (1, 2, 3)
_LEAST_TEXTS = 5
"""An n-gram in fewer texts is not counted."""


@dataclass(frozen=True)
class TopicText:
    """One wording of a topic, encoded."""

    text: str
    vector: Float32
    """[D], of the dual encoder."""


@dataclass(frozen=True)
class Neighbours:
    """The examples that are nearest to images; for no image do they depend on the others, or on a topic."""

    places: NDArray[np.int32]
    """[m,2k], k by vectors and k by visual features."""
    weights: Float32
    """[m,2k], 1 in sum for each image."""

    def select(self, places: NDArray[np.int64]) -> Neighbours:
        """Of the images at ``places``."""
        return Neighbours(self.places[places], self.weights[places])


@dataclass(frozen=True)
class Examples:
    """Known products: images, titles and facets."""

    images: Float32
    """[n,D], of length 1."""
    pooled: Float32
    """[n,2H], pooled region tokens (:func:`~interbert.topics.examples.pooled_visual_features`)."""
    fields: tuple[str, ...]
    """Names of the texts' columns."""
    vectors: Float32
    """[F,n,D], dual encoder's vectors of the texts; zeros where a product has none in a field."""
    texts: tuple[str, ...]
    """Of each example, all its texts as one."""
    facets: Facets
    """What their columns say."""

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def _space(self) -> VisualFeatureSpace:
        return VisualFeatureSpace(self.pooled)

    @cached_property
    def _tfidf(self) -> tuple[Any, Any]:
        """TF-IDF of the texts' n-grams: the vectoriser, and the sparse matrix [n, n-grams] of rows of length 1."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        least = _LEAST_TEXTS if len(self) > 10 * _LEAST_TEXTS else 1
        vectoriser = TfidfVectorizer(analyzer=char_ngrams, min_df=least, binary=True, dtype=np.float32)
        return vectoriser, vectoriser.fit_transform([text or " " for text in self.texts])

    def glosses(self, texts: Sequence[str]) -> list[str]:
        """Further wordings of a topic in English, for Chinese words that no title has.

        Raises:
            MissingExtraError: a text is Chinese, and the dictionary is not installed.
        """
        chinese = [text for text in texts if has_cjk(text)]
        return [gloss for text in chinese for gloss in ChineseDictionary.cedict().glosses(text, self._titles)]

    def known_share(self, texts: Sequence[str]) -> float:
        """Share, 0 to 1, of a topic's n-grams that titles of five examples or a facet have; of its best wording."""
        shares = [0.0]
        for text in texts:
            asked = set(char_ngrams(text))
            shares.append(len(asked & self._ngrams) / max(len(asked), 1))
        return max(shares)

    @cached_property
    def _ngrams(self) -> frozenset[str]:
        return frozenset(self._tfidf[0].vocabulary_).union(*map(char_ngrams, self.facets.texts))

    @cached_property
    def _titles(self) -> str:
        return "\n".join(self.texts).casefold()

    def labels(self, topic: Sequence[TopicText]) -> Float32:
        """How well each example fits a topic: [n], from 0 to 1.

        Its texts are compared by the dual encoder's vectors, which images taught, in every field, and by TF-IDF of
        n-grams; its facets by the dual encoder. All are standardised over the examples, so that they can be added; of
        several wordings the mean counts. Who is far below the best does not fit a little: a logistic function of the
        levels makes labels of them.
        """
        levels = standardised(np.mean([self._levels(one) for one in topic], axis=0))
        border = _BORDER * float(np.sort(levels)[-_SUREST:].mean())
        labels: Float32 = (1 / (1 + np.exp((border - levels) / _SOFTNESS))).astype(np.float32)
        return labels

    def _levels(self, topic: TopicText) -> Float32:
        vectoriser, matrix = self._tfidf
        shared = (matrix @ vectoriser.transform([topic.text]).T).toarray().ravel()
        compared = [*(field @ topic.vector for field in self.vectors), shared]
        levels = standardised(np.mean([standardised(one) for one in compared], axis=0))
        by_facets = self.facets.fit(topic.text, topic.vector)
        return levels if by_facets is None else standardised(levels + by_facets)

    def neighbours(self, vectors: Float32, pooled: Float32) -> Neighbours:
        """The nearest examples of images; those of one do not depend on which others are asked for.

        Args:
            vectors: [m,D], of length 1.
            pooled: [m,2H], pooled region tokens.
        """
        blocks = zip(fixed_blocks(vectors), fixed_blocks(pooled), strict=True)
        found = [self._block_neighbours(*block) for block in blocks]
        places, weights = (np.concatenate(part)[: len(vectors)] for part in zip(*found, strict=True))
        return Neighbours(places, weights)

    def _block_neighbours(self, vectors: Float32, pooled: Float32) -> tuple[NDArray[np.int32], Float32]:
        pairs = [_nearest(vectors, self.images), _nearest(self._space.project(pooled), self._space.known)]
        places, weights = (np.concatenate(part, axis=1) for part in zip(*pairs, strict=True))
        return places, (weights / len(pairs)).astype(np.float32)

    @staticmethod
    def transfer(images: Neighbours, labels: Float32) -> Float32:
        """Log of how well images fit a topic, given the examples' labels [n]: [m], 0 at most."""
        votes = (images.weights * labels[images.places]).sum(axis=1)
        logs: Float32 = np.log(votes.clip(max=1.0) + _FLOOR).clip(max=0.0)
        return logs

    def prototypes(self, labels: Float32, count: int) -> Float32:
        """Images that show the topic: the mean of the best hundred, and the best of them; [count,D], length 1."""
        best = np.argsort(-labels, kind="stable")[:_BEST]
        mean = (labels[best, None] * self.images[best]).sum(axis=0)
        chosen = [mean / max(float(np.linalg.norm(mean)), 1e-9)]
        for place in best:
            if len(chosen) == count:
                break
            if max(float(self.images[place] @ one) for one in chosen) < 0.9:  # not the same again
                chosen.append(self.images[place])
        return np.stack(chosen).astype(np.float32)

    def select(self, keep: NDArray[np.bool_]) -> Examples:
        """Those where ``keep`` [n] is True."""
        texts = tuple(text for text, kept in zip(self.texts, keep, strict=True) if kept)
        images, pooled, facets = self.images[keep], self.pooled[keep], self.facets.select(keep)
        return Examples(images, pooled, self.fields, self.vectors[:, keep], texts, facets)


def char_ngrams(text: str) -> list[str]:
    """Four letters in a row of words (with their ends marked), one to three characters in a row of Chinese.

    A topic says "watches" where a title says "watch", 背包 where a title says 双肩包.
    """
    found: list[str] = []
    run = ""
    for token in [*word_tokens(text), ""]:
        if is_cjk(token):
            run += token
            continue
        found += [run[start : start + size] for size in _CHARACTERS for start in range(len(run) - size + 1)]
        run = ""
        if token:
            marked = f"<{token}>"
            found += [marked[start : start + _LETTERS] for start in range(max(1, len(marked) - _LETTERS + 1))]
    return found


def _nearest(images: Float32, known: Float32) -> tuple[NDArray[np.int32], Float32]:
    """Of images [m,X], the nearest known ones [n,X] by cosine, and what each counts; [m,k] each."""
    count = min(_NEIGHBOURS, len(known))
    cosines = images @ known.T
    found = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
    near = np.take_along_axis(cosines, found, axis=1)
    share = np.exp((near - near.max(axis=1, keepdims=True)) / _TEMPERATURE)
    return found.astype(np.int32), (share / share.sum(axis=1, keepdims=True)).astype(np.float32)
