"""Titled products that a model was trained on, kept beside it: evidence of what images of a topic look like.

A topic is short and general ("running and training shoes"), the captions that a model learns from are long and
particular. What the topic means in images is read off the training products whose titles fit it: their images are
its examples, and a new product's image belongs to the topic as far as its nearest known images do (a nearest
neighbour classifier whose labels are drawn from text, as Makadia et al. 2008 transfer labels for annotation) and as a
regression over all of them foretells.

Shapes: n examples, m images, D vector size without the hub correction, H hidden size, P components of looks, F text
fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from interbert.data.words import mostly_cjk
from interbert.search.rank_fusion import standardised
from interbert.search.topics.char_ngrams import NgramTable
from interbert.search.topics.facets import Facets
from interbert.search.topics.title_words import TitleWords
from interbert.search.topics.visual_features import KernelRegression, VisualFeatureSpace

Float32 = NDArray[np.float32]

_NEIGHBOURS = 50
_TEMPERATURE = 0.07
"""Of the neighbours' weights, in cosines."""
_BORDER, _SOFTNESS = 0.7, 0.3
"""An example fits by half at this share of the best ones' level; and how fast that changes, in standard deviations."""
_SUREST = 20
"""Examples that say what the best level is."""
_SPELLING, _SPELLING_CHINESE = 0.6, 1.5
"""What shared spelling counts beside one of the vectors' comparisons: a Chinese character carries a meaning."""
_THINGS = 0.8
"""What the nearest of the things that "and" joins counts, the whole text counting the rest."""
_EXPANSION = 0.3
"""What the words that the best titles share count beside the topic's own, per standard deviation."""
_FLOOR = 1e-6
_BEST = 100
"""Examples that show what a topic is."""
_BLOCK = 1024


@dataclass(frozen=True)
class TopicText:
    """One wording of a topic, encoded."""

    text: str
    vector: Float32
    """[D], of the dual encoder."""
    sentence: Float32
    """[H], mean state of the text's tokens, of length 1."""
    things: tuple[TopicText, ...] = ()
    """What "and" joins in it (:func:`~interbert.search.topics.coordination.conjuncts`), each by itself."""


@dataclass(frozen=True)
class Likeness:
    """What images have in common with the examples; it depends on no topic, and for no image on the others."""

    places: NDArray[np.int32]
    """[m,2k], the nearest examples, k by vectors and k by looks."""
    weights: Float32
    """[m,2k], what each of them counts; 1 in sum for each image."""
    visual_features: Float32
    """[m,P], of length 1."""

    def share(self, fit: Float32) -> Float32:
        """How well the known images that are nearest to each image fit a topic; [m], 0 to 1."""
        found: Float32 = (self.weights * fit[self.places]).sum(axis=1)
        return found


@dataclass(frozen=True)
class Examples:
    """Known products: images and titles."""

    images: Float32
    """[n,D], of length 1."""
    pooled: Float32
    """[n,2H], pooled region tokens (:func:`~interbert.search.topics.visual_features.pooled_look`)."""
    fields: tuple[str, ...]
    """Names of the texts' columns."""
    vectors: Float32
    """[F,n,D], dual encoder's vectors of the texts; zeros where a product has none in a field."""
    sentences: Float32
    """[F,n,H], mean states of the texts' tokens, of length 1; zeros where there is no text."""
    texts: tuple[str, ...]
    """Of each example, all its texts as one."""
    neighbours: NDArray[np.int32]
    """[n,k], the examples whose images are nearest to each one's."""
    facets: Facets
    """What their columns say."""

    @classmethod
    def of(
        cls,
        images: Float32,
        pooled: Float32,
        fields: Sequence[str],
        vectors: Float32,
        sentences: Float32,
        texts: Sequence[str],
        facets: Facets | None = None,
    ) -> Examples:
        """Examples of encoded products; arguments as the attributes, ``kinds`` None where columns were not read."""
        nearest = []
        for start in range(0, len(images), _BLOCK):
            cosines = images[start : start + _BLOCK] @ images.T
            own = np.arange(len(cosines))
            cosines[own, start + own] = -2.0  # nobody is a neighbour of its own
            nearest.append(_nearest(cosines, min(_NEIGHBOURS, max(len(images) - 1, 1)))[0])
        facets = facets or Facets.none(len(images), images.shape[1], sentences.shape[2])
        neighbours = np.concatenate(nearest).astype(np.int32)
        return cls(images, pooled, tuple(fields), vectors, sentences, tuple(texts), neighbours, facets)

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def ngrams(self) -> NgramTable:
        """Spelling of the texts."""
        return NgramTable.of(self.texts, self.neighbours)

    @cached_property
    def title_words(self) -> TitleWords:
        """Words of the texts."""
        return TitleWords(self.texts)

    @cached_property
    def space(self) -> VisualFeatureSpace:
        """Of the examples' looks."""
        return VisualFeatureSpace.of(self.pooled)

    @cached_property
    def visual_features(self) -> Float32:
        """[n,P], of length 1."""
        return self.space.project(self.pooled)

    @cached_property
    def regression(self) -> KernelRegression:
        """Over the examples' looks; takes seconds for many thousands."""
        return KernelRegression.of(self.visual_features)

    def fit(self, topic: Sequence[TopicText]) -> Float32:
        """How well each example's texts fit a topic: [n], from 0 to 1; mean over its wordings.

        A title is compared by the dual encoder's vectors, in every field (they are taught by images, so they know
        both languages); by the sentence states, in the field that is nearest to the topic, which is the one in its
        language; and by spelling. The topic is compared with the kinds of products, too. All are standardised over the
        examples, so that they can be added. Of things that "and" joins, the one that a title fits best counts most.
        Then the topic is expanded, as relevance models do (Lavrenko and Croft 2001): what the best titles share, in all
        their languages, is looked for in every title ("pullovers" finds sweaters, and with them 毛衣).
        """
        levels = standardised(np.mean([self._scores(one) for one in topic], axis=0))
        fitting = _fitting(levels)
        best = np.argsort(-fitting, kind="stable")[:_BEST]
        shared = self.ngrams.typical(best, fitting[best])
        return _fitting(standardised(levels + _EXPANSION * standardised(shared)))

    def transfer(self, images: Likeness, fit: Float32) -> Float32:
        """Log of how well each image fits a topic by what is known of the examples; [m], 0 at most.

        The mean of what its nearest examples say, who know what is rare, and of what the regression foretells, which
        knows what counts.

        Args:
            images: of :meth:`likeness`.
            fit: of :meth:`fit` [n].
        """
        foretold = self.regression.predict(images.visual_features, fit).clip(0.0, 1.0)
        logs: Float32 = np.log(((images.share(fit) + foretold) / 2).clip(max=1.0) + _FLOOR)
        return logs.clip(max=0.0)

    def likeness(self, vectors: Float32, pooled: Float32) -> Likeness:
        """What images have in common with the examples.

        Args:
            vectors: [m,D], of length 1.
            pooled: [m,2H], pooled region tokens.
        """
        visual_features = self.space.project(pooled)
        by_vector = _neighbours(vectors, self.images)
        by_visual_features = _neighbours(visual_features, self.visual_features)
        places = np.concatenate([by_vector[0], by_visual_features[0]], axis=1)
        weights = np.concatenate([by_vector[1], by_visual_features[1]], axis=1) * np.float32(0.5)
        return Likeness(places, weights, visual_features)

    def prototypes(self, fit: Float32, count: int) -> Float32:
        """Images that show the topic: the mean of the best hundred, and the best of them; [count,D], length 1."""
        best = np.argsort(-fit, kind="stable")[:_BEST]
        mean = (fit[best, None] * self.images[best]).sum(axis=0)
        chosen = [mean / max(float(np.linalg.norm(mean)), 1e-9)]
        for place in best:
            if len(chosen) == count:
                break
            if max(float(self.images[place] @ one) for one in chosen) < 0.9:  # not the same look again
                chosen.append(self.images[place])
        return np.stack(chosen).astype(np.float32)

    def select(self, keep: NDArray[np.bool_]) -> Examples:
        """Those where ``keep`` [n] is True."""
        texts = [text for text, kept in zip(self.texts, keep, strict=True) if kept]
        vectors, sentences = self.vectors[:, keep], self.sentences[:, keep]
        images, pooled = self.images[keep], self.pooled[keep]
        return Examples.of(images, pooled, self.fields, vectors, sentences, texts, self.facets.select(keep))

    def _scores(self, topic: TopicText) -> Float32:
        """How near each example is to a text, or to one of the things that it joins: standardised, [n]."""
        whole = self._compared(topic)
        if not topic.things:
            return whole
        apart = [self._compared(thing) for thing in topic.things]
        either = np.max([one / max(_best_level(one), _FLOOR) for one in apart], axis=0)
        return standardised((1 - _THINGS) * whole + _THINGS * standardised(either))

    def _compared(self, topic: TopicText) -> Float32:
        by_vector = [standardised(field @ topic.vector) for field in self.vectors]
        states = max((field @ topic.sentence for field in self.sentences), key=lambda cosines: float(cosines.max()))
        compared = np.mean([*by_vector, standardised(states)], axis=0)
        share = (_SPELLING_CHINESE if mostly_cjk(topic.text) else _SPELLING) / (len(by_vector) + 1)
        scores = standardised(compared + share * standardised(self.ngrams.shared(topic.text)))
        by_facets = self.facets.fit(topic.text, topic.vector, topic.sentence)
        return scores if by_facets is None else standardised(scores + by_facets)


def _fitting(levels: Float32) -> Float32:
    """Standardised scores [n] as how well each fits, 0 to 1: who is far below the best does not fit a little."""
    border = _BORDER * _best_level(levels)
    fitting: Float32 = (1 / (1 + np.exp((border - levels) / _SOFTNESS))).astype(np.float32)
    return fitting


def _best_level(levels: Float32) -> float:
    """What the best of [n] have, in the mean."""
    return float(np.sort(levels)[-_SUREST:].mean())


def _neighbours(images: Float32, known: Float32) -> tuple[NDArray[np.int32], Float32]:
    """Of images [m,X], the nearest known ones [n,X] by cosine, and what each counts; [m,k] each."""
    places, weights = [], []
    for start in range(0, len(images), _BLOCK):
        found, near = _nearest(images[start : start + _BLOCK] @ known.T, _NEIGHBOURS)
        share = np.exp((near - near.max(axis=1, keepdims=True)) / _TEMPERATURE)
        places.append(found.astype(np.int32))
        weights.append((share / share.sum(axis=1, keepdims=True)).astype(np.float32))
    return np.concatenate(places), np.concatenate(weights)


def _nearest(cosines: Float32, count: int) -> tuple[NDArray[np.intp], Float32]:
    """Columns of the largest cosines of each row, and the cosines; [m, at most count] each, in no order."""
    count = min(count, cosines.shape[1])
    places = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
    return places, np.take_along_axis(cosines, places, axis=1)
