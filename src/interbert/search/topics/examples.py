"""Titled products that a model was trained on, kept beside it: evidence of what pictures of a topic look like.

A topic is short and general ("running and training shoes"), the captions that a model learns from are long and
particular. What the topic means in pictures is read off the training products whose titles fit it: their pictures are
its examples, and a new product's picture belongs to the topic as far as its nearest known pictures do (a nearest
neighbour classifier whose labels are drawn from text, as Makadia et al. 2008 transfer labels for annotation).

Shapes: n examples, m pictures, D vector size without the hub correction, H hidden size, F text fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from interbert.search.fusing import standardised
from interbert.search.topics.grams import GramTable

Float32 = NDArray[np.float32]

_NEIGHBOURS = 50
_TEMPERATURE = 0.07
"""Of the neighbours' weights, in cosines."""
_SHARPNESS = 0.6
"""Of what a title's fit counts, per standard deviation over all titles."""
_SPELLING = 0.6
"""What shared spelling counts beside one of the vectors' comparisons."""
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


@dataclass(frozen=True)
class Neighbourhood:
    """Of pictures, which examples are nearest, and what each counts."""

    places: NDArray[np.int32]
    """[m,k]"""
    weights: Float32
    """[m,k], 1 in sum for each picture."""

    def transfer(self, fit: Float32) -> Float32:
        """Log of how well the known pictures that are nearest to each picture fit a topic; [m], 0 at most.

        Args:
            fit: of :meth:`Examples.fit` [n].
        """
        logs: Float32 = np.log((self.weights * fit[self.places]).sum(axis=1).clip(max=1.0) + _FLOOR)
        return logs.clip(max=0.0)


@dataclass(frozen=True)
class Examples:
    """Known products: pictures and titles."""

    pictures: Float32
    """[n,D], of length 1."""
    fields: tuple[str, ...]
    """Names of the texts' columns."""
    vectors: Float32
    """[F,n,D], dual encoder's vectors of the texts; zeros where a product has none in a field."""
    sentences: Float32
    """[F,n,H], mean states of the texts' tokens, of length 1; zeros where there is no text."""
    texts: tuple[str, ...]
    """Of each example, all its texts as one."""
    neighbours: NDArray[np.int32]
    """[n,k], the examples whose pictures are nearest to each one's."""

    @classmethod
    def of(
        cls, pictures: Float32, fields: Sequence[str], vectors: Float32, sentences: Float32, texts: Sequence[str]
    ) -> Examples:
        """Examples of encoded products; arguments as the attributes."""
        nearest = []
        for start in range(0, len(pictures), _BLOCK):
            cosines = pictures[start : start + _BLOCK] @ pictures.T
            own = np.arange(len(cosines))
            cosines[own, start + own] = -2.0  # nobody is a neighbour of its own
            nearest.append(_nearest(cosines, min(_NEIGHBOURS, max(len(pictures) - 1, 1)))[0])
        return cls(pictures, tuple(fields), vectors, sentences, tuple(texts), np.concatenate(nearest).astype(np.int32))

    def __len__(self) -> int:
        return len(self.pictures)

    @cached_property
    def grams(self) -> GramTable:
        """Spelling of the texts."""
        return GramTable.of(self.texts, self.neighbours)

    def fit(self, topic: Sequence[TopicText]) -> Float32:
        """How well each example's titles fit a topic: [n], 1 for the best, falling to 0; mean over its wordings.

        A title is compared by the dual encoder's vectors, in every field (they are taught by pictures, so they know
        both languages); by the sentence states, in the field that is nearest to the topic, which is the one in its
        language; and by spelling. Each is standardised over all titles, so that they can be added. Then the topic is
        expanded, as relevance models do (Lavrenko and Croft 2001): what the best titles share, in all their
        languages, is looked for in every title ("pullovers" finds sweaters, and with them 毛衣).
        """
        levels = standardised(np.mean([self._scores(one) for one in topic], axis=0))
        fitting = _fitting(levels)
        best = np.argsort(-fitting, kind="stable")[:_BEST]
        shared = self.grams.typical(best, fitting[best])
        return _fitting(standardised(levels + _EXPANSION * standardised(shared)))

    def neighbourhood(self, pictures: Float32) -> Neighbourhood:
        """The known pictures that are nearest to each picture; it depends on no topic and on no other picture.

        Args:
            pictures: [m,D], of length 1.
        """
        places, weights = [], []
        for start in range(0, len(pictures), _BLOCK):
            found, near = _nearest(pictures[start : start + _BLOCK] @ self.pictures.T, _NEIGHBOURS)
            share = np.exp((near - near.max(axis=1, keepdims=True)) / _TEMPERATURE)
            places.append(found.astype(np.int32))
            weights.append(share / share.sum(axis=1, keepdims=True))
        return Neighbourhood(np.concatenate(places), np.concatenate(weights))

    def prototypes(self, fit: Float32, count: int) -> Float32:
        """Pictures that show the topic: the mean of the best hundred, and the best of them; [count,D], length 1."""
        best = np.argsort(-fit, kind="stable")[:_BEST]
        mean = (fit[best, None] * self.pictures[best]).sum(axis=0)
        chosen = [mean / max(float(np.linalg.norm(mean)), 1e-9)]
        for place in best:
            if len(chosen) == count:
                break
            if max(float(self.pictures[place] @ one) for one in chosen) < 0.9:  # not the same look again
                chosen.append(self.pictures[place])
        return np.stack(chosen).astype(np.float32)

    def select(self, keep: NDArray[np.bool_]) -> Examples:
        """Those where ``keep`` [n] is True."""
        texts = [text for text, kept in zip(self.texts, keep, strict=True) if kept]
        return Examples.of(self.pictures[keep], self.fields, self.vectors[:, keep], self.sentences[:, keep], texts)

    def _scores(self, topic: TopicText) -> Float32:
        by_vector = [standardised(field @ topic.vector) for field in self.vectors]
        states = max((field @ topic.sentence for field in self.sentences), key=lambda cosines: float(cosines.max()))
        compared = np.mean([*by_vector, standardised(states)], axis=0)
        share = _SPELLING / (len(by_vector) + 1)
        scores: Float32 = compared + share * standardised(self.grams.shared(topic.text))
        return scores


def _fitting(levels: Float32) -> Float32:
    """Standardised scores [n] as weights, 1 for the best."""
    fitting: Float32 = np.exp(_SHARPNESS * (levels - levels.max())).astype(np.float32)
    return fitting


def _nearest(cosines: Float32, count: int) -> tuple[NDArray[np.intp], Float32]:
    """Columns of the largest cosines of each row, and the cosines; [m, at most count] each, in no order."""
    count = min(count, cosines.shape[1])
    places = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
    return places, np.take_along_axis(cosines, places, axis=1)
