"""One topic's page: candidates near the topic or its examples, calibrated label transfer, threshold, diversity.

Shapes: n candidates, D vector size.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interbert.errors import CheckpointError, ColumnError, UsageError, require_range
from interbert.search.engine import SearchEngine
from interbert.search.hits import Hit, Index
from interbert.search.index import ProductIndex
from interbert.search.index_model import model_folder
from interbert.search.query_encoder import ProductEncoder
from interbert.topics.encoding import require_contrast
from interbert.topics.judge import TopicJudge
from interbert.topics.judged_topics import Images, JudgedTopic
from interbert.topics.selection import Candidates, doubt, select_items
from interbert.topics.topic_memory import FILE, FileStamp, TopicMemory, file_stamp, load_memory
from interbert.utils.deprecation import renamed_arguments

Float32 = NDArray[np.float32]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PageSettings:
    """How a page is made."""

    top_k: int = 20
    """Items of a page, at most."""
    min_probability: float | None = None
    """Probability that an item must have; when not given, the page has the items that its expected F1 is best with."""
    diversity: float = 0.05
    """0 orders by probability alone, 1 by novelty alone."""
    diversify_by: tuple[str, ...] = ()
    """Columns, such as brand and category, whose values should not repeat."""
    candidates: int = 200
    """Images found for the topic, and half as many for each of its prototypes."""
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
        require_range("topics: duplicates", self.duplicates, 0, 1.0001)
        return self


class TopicRecommender:
    """Pages of an index.

    Example::

        recommender = TopicRecommender.open("indexes/shop")
        for item in recommender.recommend("winter sweaters", where="stock > 0", diversify_by=["brand"]):
            print(item.rank, item.product_id, item.probability)

    Args:
        engine: the index with its model.
        examples: a model directory that was taught topics, or its file; when not given, the directory that the index
            was built with if it still holds that model, else the index's own copy. Where none was taught, pages are
            ranked by the dual encoder alone and have no probabilities.

    Raises:
        CheckpointError: what was taught is damaged or another model's, ``examples`` has none, or the model has no
            contrastive head.
    """

    index: ProductIndex
    encoder: ProductEncoder
    memory: TopicMemory | None

    def __init__(self, engine: SearchEngine, examples: str | Path | None = None) -> None:
        self._engine = engine
        self._examples = examples
        self._stamps: tuple[str | FileStamp | None, ...] | None = None
        self.judge = TopicJudge()
        self.refresh()

    @classmethod
    def open(
        cls, index: str | Path, model: str | Path | None = None, examples: str | Path | None = None
    ) -> TopicRecommender:
        """Open an index by its folder or URI; ``model`` says where the model of an index in a bucket is."""
        return cls(SearchEngine.open(index, model), examples)

    def refresh(self) -> None:
        """Use a rebuilt index and topics that were learned anew, from now on."""
        self.use(*self._engine.refresh())

    def use(self, index: Index, encoder: ProductEncoder) -> None:
        """Make pages of this index, such as one at a certain version, with its model and what that was taught last."""
        self.encoder = encoder
        if not isinstance(index, ProductIndex):
            raise UsageError("topic pages need an index. Make one with: interbert index build")
        self.index = index
        named = None if self._examples is None else Path(self._examples)
        files = [folder / FILE for folder in _memory_folders(self.index)]
        if named is not None:
            files = [named if named.is_file() else named / FILE]
        stamps = (self.index.manifest.model_fingerprint, *map(file_stamp, files))
        if stamps != self._stamps:
            self.memory, self._stamps = find_memory(self.index, self._examples), stamps
        self.judge.use(self.index, self.encoder, self.memory)
        if self.memory is not None:
            require_contrast(self.encoder, self.index.path)

    @contextlib.contextmanager
    def at_newest(self) -> Iterator[str]:
        """Make pages of the index as it is now, whatever is committed meanwhile; gives the name of the version.

        The name changes whenever the table does: also where an index made anew has as many commits as the last.

        Raises:
            VectorIndexError: the index cannot be read.
        """
        self.index.refresh()
        index = self.index
        with index.reading():
            newest = index.table.list_versions()[-1]
        self.index = index.at(index.manifest.table, int(newest["version"]))
        self.judge.use(self.index, self.encoder, self.memory)
        try:
            yield f"{index.manifest.table}@{newest['version']} of {newest['timestamp'].isoformat()}"
        finally:
            self.index = index
            self.judge.use(self.index, self.encoder, self.memory)

    def require_columns(self, names: Sequence[str]) -> None:
        """Check that the index has columns.

        Raises:
            ColumnError: with the nearest name that exists.
        """
        there = [column.name for column in self.index.metadata_columns]
        for name in names:
            if name not in there:
                raise ColumnError.missing(name, there, self.index.path)

    @renamed_arguments(least="min_probability", spread="diversify_by")
    def recommend(
        self,
        topic: str | Sequence[str],
        *,
        where: str | None = None,
        top_k: int = 20,
        min_probability: float | None = None,
        diversity: float | None = None,
        diversify_by: Sequence[str] = (),
    ) -> list[Hit]:
        """The page of a topic, of the index and the memory as they are now.

        Args:
            topic: a short text, or several wordings of one topic.
            where: a filter.
            top_k: items at most.
            min_probability: as of :class:`PageSettings`; 0 fills the page.
            diversity: 0 orders by probability alone, 1 by novelty alone; a little when not given.
            diversify_by: columns, such as brand and category, whose values should not repeat.

        Raises:
            UsageError: the text is empty or without a word that the model knows, or a column is not there.
            FilterError: the filter is wrong at a character that is named.
            CheckpointError: what the model was taught of topics is damaged.
            VectorIndexError: the index is damaged.
        """
        self.refresh()
        trade = PageSettings.diversity if diversity is None else diversity
        settings = PageSettings(top_k, min_probability, trade, tuple(diversify_by))
        return self.page([topic] if isinstance(topic, str) else list(topic), where, settings.check())

    def wordings(self, texts: Sequence[str]) -> list[str]:
        """A topic's texts, and what is said of their Chinese words in English where no title has them."""
        return [*texts, *([] if self.memory is None else self.memory.examples.glosses(texts))]

    def page(self, texts: Sequence[str], where: str | None, settings: PageSettings) -> list[Hit]:
        """Make a topic's page.

        Args:
            texts: wordings of the topic.
            where: a filter.
            settings: checked.

        Raises:
            As :meth:`recommend`.
        """
        candidates = self.candidates(texts, where, settings)
        items, note = select_items(candidates, settings, self.encoder.direction_size), doubt(candidates)
        if items and note:
            _logger.info(f"topic {texts[0]!r}: {note}")
        return items

    def candidates(
        self, texts: Sequence[str], where: str | None, settings: PageSettings, products: Sequence[str] = ()
    ) -> Candidates:
        """Images that a topic's page is chosen from.

        Args:
            texts: wordings of the topic.
            where: a filter.
            settings: checked.
            products: judged in any case, where the index has them and the filter lets them through.

        Raises:
            As :meth:`recommend`.
        """
        self.require_columns(settings.diversify_by)
        topic, _ = self.judge.search(self.wordings(texts), where, settings.candidates, duplicates=None)
        wanted = topic.wanted()
        hits, scores = self.judge.hits(topic.numbers[wanted]), topic.scores[wanted]
        known = {hit.id for hit in hits}
        named = sorted(self.index.images_of(products, where)) if products else []
        further = self.index.hits([name for name in named if name not in known])
        if further:
            vectors = np.stack([hit.vector for hit in further])
            tokens = self.index.regions([hit.id for hit in further])
            judged = self.judge.scores(topic.query, vectors, self.judge.nearest_examples(vectors, tokens))
            hits, scores = [*hits, *further], np.concatenate([scores, judged])
        likely = None if self.memory is None else self.memory.calibration.probability(scores)
        return Candidates(hits, scores, likely, topic.query.known_share)

    def judged(self, texts: Sequence[str], where: str | None, settings: PageSettings) -> tuple[JudgedTopic, Images]:
        """A topic with the images that searches find for it, judged, and these.

        Args:
            texts: wordings of the topic.
            where: a filter.
            settings: checked.

        Raises:
            As :meth:`recommend`.
        """
        return self.judge.search(self.wordings(texts), where, settings.candidates, settings.duplicates)


def find_memory(index: ProductIndex, examples: str | Path | None = None) -> TopicMemory | None:
    """What the model of an index was taught of topics; None when it never was.

    Raises:
        CheckpointError: it is damaged or another model's, or ``examples`` was named and has none.
    """
    fingerprint = index.manifest.model_fingerprint
    if examples is not None:
        memory = load_memory(examples, fingerprint)
        if memory is None:
            raise CheckpointError(
                f"{examples}: knows nothing of topics. Teach it with: interbert topics learn {examples} REGIONS"
            )
        return memory
    taught, own = _memory_folders(index)
    if taught.is_dir():  # may have been taught after the index was built
        with contextlib.suppress(CheckpointError):  # or trained anew, and then it is no concern of this index
            memory = load_memory(taught, fingerprint)
            if memory is not None:
                return memory
    return load_memory(own, fingerprint)


def _memory_folders(index: ProductIndex) -> tuple[Path, Path]:
    """The directory that an index was built with, and the index's own copy of it."""
    return Path(index.manifest.model), model_folder(index.path, index.manifest.model_fingerprint)
