"""What two texts share in spelling, and how much of it an image can show.

A topic says "watches" where a title says "watch", 背包 where a title says 双肩包, and words such as "for" or "new" that
no image can show. So texts are compared by parts of words, and a part counts by how well images foretell it: the
share of its images' nearest others that have it too, times the logarithm of how often that is more than by chance.
No list of words is needed, in any language.

Shapes: n examples, G kinds of parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from interbert.data.words import is_cjk, word_tokens

Float32 = NDArray[np.float32]

_LETTERS = 4
_CHARACTERS = (1, 2, 3)
_LEAST = 5
"""A part in fewer texts says nothing that could be trusted."""


def char_ngrams(text: str) -> set[str]:
    """Four letters in a row of words (with their ends marked), one to three characters in a row of Chinese."""
    found: set[str] = set()
    run = ""
    for token in [*word_tokens(text), ""]:
        if is_cjk(token):
            run += token
            continue
        found |= {run[start : start + size] for size in _CHARACTERS for start in range(len(run) - size + 1)}
        run = ""
        if token:
            marked = f"<{token}>"
            found |= {marked[start : start + _LETTERS] for start in range(max(1, len(marked) - _LETTERS + 1))}
    return found


@dataclass(frozen=True)
class NgramTable:
    """Which examples' texts have which parts, and what each part counts."""

    places: Mapping[str, int]
    """Column of each part."""
    weights: Float32
    """[G]"""
    holders: Any
    """Sparse [n,G], 1 where an example has a part; by columns."""

    @classmethod
    def of(cls, texts: Sequence[str], neighbours: NDArray[np.int32]) -> NgramTable:
        """Read the examples' texts.

        Args:
            texts: of each example, all its texts as one.
            neighbours: [n,k], the examples whose images are nearest to each one's.
        """
        found = [char_ngrams(text) for text in texts]
        counts = Counter(gram for ngrams in found for gram in ngrams)
        places = {gram: place for place, gram in enumerate(sorted(g for g, count in counts.items() if count >= _LEAST))}
        owners, columns = [], []
        for owner, ngrams in enumerate(found):
            known = sorted(places[gram] for gram in ngrams if gram in places)
            owners += [owner] * len(known)
            columns += known
        shape = (len(texts), len(places))
        holders = sparse.csr_matrix((np.ones(len(owners), np.float32), (owners, columns)), shape=shape)
        return cls(places, _foretold(holders, neighbours), holders.tocsc())

    def shared(self, text: str) -> Float32:
        """How much of a text's parts each example has, by their weights; [n], 0 to 1."""
        columns = sorted(self.places[gram] for gram in char_ngrams(text) if gram in self.places)
        weights = self.weights[columns]
        total = float(weights.sum())
        if total <= 0:
            return np.zeros(self.holders.shape[0], dtype=np.float32)
        shared: Float32 = np.asarray(self.holders[:, columns] @ weights, dtype=np.float32) / np.float32(total)
        return shared

    def typical(self, members: NDArray[np.intp], weights: Float32) -> Float32:
        """How much each example has of what is more frequent in some of them than in all; [n].

        Args:
            members: places of those.
            weights: what each of them counts, more than 0.
        """
        share = np.asarray((weights / weights.sum()) @ self.holders[members]).ravel()
        usual = np.asarray(self.holders.mean(axis=0)).ravel()
        profile = ((share - usual).clip(min=0) * self.weights).astype(np.float32)
        return np.asarray(self.holders @ profile, dtype=np.float32)


def _foretold(holders: Any, neighbours: NDArray[np.int32]) -> Float32:
    """Weight [G] of each part: share of its holders' neighbours that hold it, times the log of that over chance."""
    count, near = neighbours.shape
    links = sparse.csr_matrix(
        (np.full(count * near, 1 / near, np.float32), neighbours.reshape(-1), np.arange(0, count * near + 1, near)),
        shape=(count, count),
    )
    having = np.asarray(holders.sum(axis=0)).ravel()
    chance = having / count
    share = np.asarray(holders.multiply(links @ holders).sum(axis=0)).ravel() / having.clip(min=1)
    weights: Float32 = (share * np.log((share / chance.clip(min=1e-9)).clip(min=1.0))).astype(np.float32)
    return weights
