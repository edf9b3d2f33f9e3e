"""Judged topics of an index at one version: what an earlier build kept, brought up to date; others are searched for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from interbert.errors import DataError, UsageError
from interbert.search.table_rows import changes_between, rows_of
from interbert.topics.judged_topics import Images, JudgedTopic, joined_images
from interbert.topics.kept_topics import FILE, KeptTopics, read_kept, write_kept
from interbert.topics.recommend import PageSettings, TopicRecommender
from interbert.topics.refreshing import AskedTopic, Refreshed, refreshed
from interbert.topics.topic_file import Topic

MOST_NEW = 0.2
"""With a larger share of new rows searching is not much dearer, and the lists would run out."""


class TopicSource:
    """Judged topics.

    Args:
        recommender: of the index at a version, for good.
        version: its name.
        topics: all.
        keys: by id, what each depends on beside the index's table.
        settings: of the pages.
        folder: of the pages, and of what was kept.
        expected: an earlier build should have kept something.

    Attributes:
        note: why searches cannot be spared; "" where nothing is to be said.
        kept_version: of the table, of what was kept; None where nothing was.
        columns: columns that are shown may have changed in rows that stayed.

    Raises:
        VectorIndexError: the index cannot be read.
    """

    def __init__(
        self,
        recommender: TopicRecommender,
        version: str,
        topics: Sequence[Topic],
        keys: Mapping[str, str],
        settings: PageSettings,
        folder: Path,
        expected: bool,
    ) -> None:
        self._recommender, self._version, self._settings = recommender, version, settings
        self._keys, self._file = keys, folder / FILE
        self.note = ""
        self.kept_version: str | None = None
        self.columns = False
        kept = self._read(expected)
        self._rows = rows_of(recommender.index, None if kept is None else kept.rows)
        self._now = Refreshed({}, frozenset(), None)
        if kept is not None:
            self._refresh(kept, topics)
        self._found: dict[str, JudgedTopic] = {}
        self._parts: list[Images] = []
        self._seen: set[int] = set()

    def _read(self, expected: bool) -> KeptTopics | None:
        try:
            return read_kept(self._file)
        except DataError as error:
            if expected or self._file.is_file():
                self.note = f"{error}: every page is made anew"
            return None

    def _refresh(self, kept: KeptTopics, topics: Sequence[Topic]) -> None:
        changes = changes_between(kept.rows, self._rows)
        if changes is None:
            self.note = "the index was built anew: every page is made anew"
            return
        if changes.rows > MOST_NEW * len(self._rows):
            self.note = f"{changes.rows:,} of {len(self._rows):,} rows of the index are new: every page is made anew"
            return
        asked = {
            topic.topic_id: AskedTopic(kept.topics[topic.topic_id][1], topic.where)
            for topic in topics
            if kept.topics.get(topic.topic_id, ("",))[0] == self._keys[topic.topic_id]
        }
        try:
            self._now = refreshed(self._recommender.judge, asked, kept.images, changes, self._settings.duplicates)
        except (UsageError, DataError) as error:  # such as an image that is damaged: its topics will say so
            self.note = f"{error}: every page is made anew"
            return
        self.kept_version, self.columns = kept.version, changes.other_columns

    def is_same(self, topic_id: str) -> bool:
        """Whether a topic has the images that it had at :attr:`kept_version`."""
        return topic_id in self._now.topics and topic_id not in self._now.touched

    def kept(self, topic_id: str) -> tuple[JudgedTopic, Images] | None:
        """A topic that is up to date without a search."""
        topic = self._now.topics.get(topic_id)
        return None if topic is None or self._now.images is None else (topic, self._now.images)

    def search(self, topic: Topic) -> tuple[JudgedTopic, Images]:
        """A topic that is searched for.

        Raises:
            UsageError, DataError: as :meth:`~interbert.topics.recommend.TopicRecommender.judged`.
        """
        found, images = self._recommender.judged(topic.texts, topic.where, self._settings)
        if found.lasting:
            self._found[topic.topic_id] = found
            new = [number for number in images.numbers.tolist() if number not in self._seen]
            self._seen.update(new)
            self._parts.append(images.select(np.array(new, np.int64)))
        return found, images

    def write(self) -> None:
        """Keep all topics that are known for the next refresh.

        Raises:
            StorageError: they cannot be written.
        """
        topics = {**self._now.topics, **self._found}
        if not topics:
            self._file.unlink(missing_ok=True)
            return
        images = joined_images([*self._parts, *([] if self._now.images is None else [self._now.images])])
        needed = np.unique(np.concatenate([topic.numbers for topic in topics.values()]))
        kept = {name: (self._keys[name], topic) for name, topic in topics.items()}
        self.note = (
            write_kept(KeptTopics(self._version, self._rows, kept, images.select(needed)), self._file) or self.note
        )
