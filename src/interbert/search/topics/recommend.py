"""One topic's page: candidates by recall and expansion, calibrated joint probability, threshold, diversity.

Shapes: n candidates, D vector size.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import CheckpointError, ColumnError, require_range
from interbert.search.hits import Hit
from interbert.search.hits import Hit as Result
from interbert.search.index import ProductIndex
from interbert.search.index_model import model_folder
from interbert.search.query_encoder import ProductEncoder
from interbert.search.rank_fusion import deduplicated
from interbert.search.topics.calibration import LIKELY, UNCALIBRATED, Floats
from interbert.search.topics.diversity import diversified
from interbert.search.topics.encoding import directions, encode_wordings, require_contrast
from interbert.search.topics.examples import Likeness
from interbert.search.topics.topic_memory import FILE, FileStamp, TopicMemory, file_stamp, load_memory
from interbert.search.topics.visual_features import pooled_visual_features

Float32 = NDArray[np.float32]

_PROTOTYPES = 8
_REMEMBERED = 50_000
"""Images of which is kept what they have in common with the examples: 3 kB each."""


@dataclass(frozen=True)
class PageSettings:
    """How a page is made."""

    top_k: int = 20
    """Items of a page, at most."""
    min_probability: float | None = None
    """Probability that an item must have; a half when not given, 0 fills the page."""
    diversity: float = 0.05
    """0 orders by probability alone, 1 by novelty alone."""
    diversify_by: tuple[str, ...] = ()
    """Columns, such as brand and category, whose values should not repeat."""
    candidates: int = 200
    """Products recalled for the topic, and half as many for its expansions."""
    rerank: int = 64
    """Products that the joint model scores."""
    duplicates: float | None = 0.995
    """Products whose images' vectors have this cosine or more are one item; None keeps all."""

    def check(self) -> PageSettings:
        """Return self when every value is possible.

        Raises:
            ConfigError: naming the value.
        """
        require_range("topics: top_k", self.top_k, 1)
        require_range("topics: min_probability", self.min_probability, 0, 1.0001)
        require_range("topics: diversity", self.diversity, 0, 1.0001)
        require_range("topics: candidates", self.candidates, 1)
        require_range("topics: rerank", self.rerank, 1)
        require_range("topics: duplicates", self.duplicates, 0, 1.0001)
        return self


@dataclass(frozen=True)
class Page:
    """A topic's items, best first, and what it took to find them."""

    items: list[Result]
    joint: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Of every image that was scored: what tells it apart, and the joint model's log-odds; to remember them. Empty
    where the calibration found that they add nothing."""
    scored: int = 0
    """Images that the joint model had to score, not counting the remembered ones."""


class TopicRecommender:
    """Pages of an index.

    Args:
        index: opened.
        encoder: the index's model.
        memory: what the model knows of topics; without it pages are ranked by the joint model alone, uncalibrated.

    Raises:
        CheckpointError: the model has no contrastive head.
    """

    def __init__(self, index: ProductIndex, encoder: ProductEncoder, memory: TopicMemory | None) -> None:
        if memory is not None:
            require_contrast(encoder, index.path)
        self.index = index
        self.encoder = encoder
        self.memory = memory
        self._likeness: dict[str, tuple[NDArray[np.int32], Float32, Float32]] = {}

    @classmethod
    def open(cls, index: ProductIndex, encoder: ProductEncoder, examples: str | Path | None = None) -> TopicRecommender:
        """A recommender with the memory that belongs to the index's model.

        Args:
            index: opened.
            encoder: the index's model.
            examples: a model directory that was taught topics, or its file; when not given, the directory that the
                index was built with if it still holds that model, else the index's own copy.

        Raises:
            CheckpointError: the memory is damaged or another model's, or ``examples`` has none.
        """
        return cls(index, encoder, find_memory(index, examples))

    def require_columns(self, names: Sequence[str]) -> None:
        """Check that the index has columns.

        Raises:
            ColumnError: with the nearest name that exists.
        """
        there = [column.name for column in self.index.metadata_columns]
        for name in names:
            if name not in there:
                raise ColumnError.missing(name, there, self.index.path)

    def page(
        self, texts: Sequence[str], where: str | None, settings: PageSettings, known: Mapping[str, tuple[str, float]]
    ) -> Page:
        """Make a topic's page.

        Args:
            texts: wordings of the topic.
            where: a filter.
            settings: checked.
            known: joint log-odds of an earlier page of the same topic, see :attr:`Page.joint`.

        Raises:
            UsageError: a text is empty, or holds no word that the model knows, or a column of ``diversify_by`` is
                not there.
            FilterError: the filter is wrong.
            VectorIndexError: the index is damaged.
        """
        self.require_columns(settings.diversify_by)
        memory = self.memory
        more = [] if memory is None else memory.words.rewritten(texts)
        examples = None if memory is None else memory.examples
        ids, vectors, wordings = encode_wordings(self.encoder, [*texts, *more], examples)
        fit = None if examples is None else examples.fit(wordings)
        hits = self._candidates(vectors, fit, where, settings)
        if not hits:
            return Page([])
        digests = self._digests(hits)
        transfer = self._transfer(hits, [digests[hit.id] for hit in hits], fit)
        recalled = np.stack([hit.vector for hit in hits]) @ vectors.mean(axis=0)
        calibration = UNCALIBRATED if memory is None else memory.calibration
        prior = float(self.encoder.model.config.dual_score_weight or 1.0)
        guess = calibration.logit(transfer, prior * recalled)
        best = sorted(range(len(hits)), key=lambda place: (-float(guess[place]), hits[place].id))
        kept = _one_per_product([(hits[place], float(transfer[place])) for place in best])[: settings.rerank]
        joint, remembered, scored = np.zeros(len(kept), np.float32), dict[str, tuple[str, float]](), 0
        if calibration.joint:
            joint, remembered, scored = self._joint(ids, vectors, [hit for hit, _ in kept], digests, known)
        logits = calibration.logit(np.array([one for _, one in kept]), joint)
        min_probability = LIKELY if settings.min_probability is None else settings.min_probability
        items = self._items(
            [hit for hit, _ in kept], logits, calibration.probability(logits), min_probability, settings
        )
        return Page(items, remembered, scored)

    def _candidates(
        self, vectors: Float32, fit: Float32 | None, where: str | None, settings: PageSettings
    ) -> list[Hit]:
        """Images near to the topic's texts, or to the images that its examples show."""
        found: dict[str, Hit] = {}
        for vector in vectors:
            for hit in self.index.vector_search(vector, settings.candidates, where, every_image=True):
                found.setdefault(hit.id, hit)
        if fit is not None and self.memory is not None:
            prototypes = self.memory.examples.prototypes(fit, _PROTOTYPES)
            share = max(settings.candidates // 2, 1)
            for prototype in prototypes:
                query = np.zeros(vectors.shape[1], dtype=np.float32)
                query[: len(prototype)] = prototype
                for hit in self.index.vector_search(query, share, where, every_image=True):
                    found.setdefault(hit.id, hit)
        return list(found.values())

    def _digests(self, hits: Sequence[Hit]) -> dict[str, str]:
        """What tells each image, as the index has it, from any other, by its id: twelve hex digits.

        The same file gives another vector with other boxes or with its mirror image, and other tokens in another
        coding: an index that was built anew may have all of these, under the same ids.
        """
        rows = self.index.existing([hit.id for hit in hits], ["digest"])
        digests = {}
        for hit in hits:
            file = str(rows[hit.id]["digest"]) if hit.id in rows else hit.id
            whole = hashlib.sha256(f"{file} {self.index.manifest.token_quantisation}".encode())
            whole.update(np.ascontiguousarray(hit.vector, dtype=np.float32).tobytes())
            digests[hit.id] = whole.hexdigest()[:12]
        return digests

    def _transfer(self, hits: Sequence[Hit], digests: Sequence[str], fit: Float32 | None) -> Float32:
        """What the examples say of each image; what it has in common with them is looked up once for all topics."""
        if fit is None or self.memory is None:
            return np.zeros(len(hits), dtype=np.float32)
        examples = self.memory.examples
        new = [place for place, digest in enumerate(digests) if digest not in self._likeness]
        if new:
            vectors = directions(self.encoder, np.stack([hits[place].vector for place in new]))
            pooled = pooled_visual_features(self.index.regions([hits[place].id for place in new]))
            found = examples.likeness(vectors, pooled)
            if len(self._likeness) > _REMEMBERED:
                self._likeness = {digest: self._likeness[digest] for digest in digests if digest in self._likeness}
            for place, one in zip(
                new, zip(found.places, found.weights, found.visual_features, strict=True), strict=True
            ):
                self._likeness[digests[place]] = one
        places, weights, visual_features = (
            np.stack(part) for part in zip(*(self._likeness[digest] for digest in digests), strict=True)
        )
        return examples.transfer(Likeness(places, weights, visual_features), fit)

    def _joint(
        self,
        ids: Sequence[Sequence[int]],
        vectors: Float32,
        hits: Sequence[Hit],
        digests: Mapping[str, str],
        known: Mapping[str, tuple[str, float]],
    ) -> tuple[Float32, dict[str, tuple[str, float]], int]:
        """Joint log-odds of each image, mean over wordings: remembered where the image is the same, else scored."""
        fresh = [hit for hit in hits if known.get(hit.id, ("", 0.0))[0] != digests[hit.id]]
        scores: dict[str, float] = {}
        if fresh:
            recalled = vectors @ np.stack([hit.vector for hit in fresh]).T
            odds = self.encoder.joint(ids, self.index.regions([hit.id for hit in fresh]), recalled).mean(axis=0)
            scores = {hit.id: round(float(one), 5) for hit, one in zip(fresh, odds, strict=True)}
        values = [scores[hit.id] if hit.id in scores else known[hit.id][1] for hit in hits]
        remembered = {hit.id: (digests[hit.id], value) for hit, value in zip(hits, values, strict=True)}
        return np.array(values, dtype=np.float32), remembered, len(fresh)

    def _items(
        self, hits: Sequence[Hit], logits: Floats, likely: Floats, min_probability: float, settings: PageSettings
    ) -> list[Result]:
        order = sorted(range(len(hits)), key=lambda place: (-float(logits[place]), hits[place].id))
        order = [place for place in order if likely[place] >= min_probability]
        size = self.encoder.direction_size
        groups = deduplicated([hits[place].vector for place in order], size, settings.duplicates)
        heads = [order[group[0]] for group in groups]
        if not heads:
            return []
        visual_features = np.stack([hits[place].vector[:size] for place in heads])
        facets = [[_facet(hits[place].metadata.get(name)) for place in heads] for name in settings.diversify_by]
        chosen = diversified(likely[heads], visual_features, facets, settings.diversity, settings.top_k)
        return [
            Result.of(
                rank,
                [hits[order[member]] for member in groups[place]],
                float(logits[heads[place]]),
                float(likely[heads[place]]),
            )
            for rank, place in enumerate(chosen, start=1)
        ]


def _facet(value: Any) -> Any:
    """A column's value as what pages count; of lists, such as tags, all members together."""
    return tuple(value) if isinstance(value, list) else value


def find_memory(index: ProductIndex, examples: str | Path | None = None) -> TopicMemory | None:
    """What the model of an index knows of topics; None when it was never taught.

    Raises:
        CheckpointError: it is damaged or another model's, or ``examples`` was named and has none.
    """
    manifest = index.manifest
    if examples is not None:
        memory = load_memory(examples, manifest.model_fingerprint)
        if memory is None:
            raise CheckpointError(
                f"{examples}: knows nothing of topics. Teach it with: interbert topics learn {examples} REGIONS"
            )
        return memory
    taught, own = _memory_folders(index)
    if taught.is_dir():  # may have been taught after the index was built
        with contextlib.suppress(CheckpointError):  # or trained anew, and then it is no concern of this index
            memory = load_memory(taught, manifest.model_fingerprint)
            if memory is not None:
                return memory
    return load_memory(own, manifest.model_fingerprint)


def memory_stamps(index: ProductIndex) -> tuple[FileStamp | None, ...]:
    """Of the files that :func:`find_memory` looks at: these change when topics are learned anew, in any process."""
    return tuple(file_stamp(folder / FILE) for folder in _memory_folders(index))


def _memory_folders(index: ProductIndex) -> tuple[Path, Path]:
    """The directory that an index was built with, and the index's own copy of it."""
    return Path(index.manifest.model), model_folder(index.path, index.manifest.model_fingerprint)


def _one_per_product(hits: Sequence[tuple[Hit, float]]) -> list[tuple[Hit, float]]:
    """The first image of each product, with its score."""
    first: dict[str, tuple[Hit, float]] = {}
    for pair in hits:
        first.setdefault(pair[0].product_id, pair)
    return list(first.values())
