"""Brings the pages of topics up to date, of an index at one version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from interbert.errors import DataError, UsageError
from interbert.search.hits import Hit
from interbert.search.table_rows import read_rows
from interbert.topics.choice import facet
from interbert.topics.judged_topics import ChosenPage, Images, JudgedTopic, choose_page
from interbert.topics.near_lists import Numbers
from interbert.topics.page_files import PAGES, SOURCES, page_text, read_or_none, text_or_none, write_object
from interbert.topics.recommend import PageSettings, TopicRecommender
from interbert.topics.topic_file import Topic
from interbert.topics.topic_source import TopicSource
from interbert.utils.files import atomic_write
from interbert.utils.stored_names import stored

STORED_SETTINGS = {"min_probability": "least", "diversify_by": "spread"}
FORMAT = 5
"""Of how pages are made: raised when the same evidence gives other pages, so that all are looked at again."""
UNLIKELY = "no product is likely enough"
"""Why a page is empty that an earlier version made."""
_AT_ONCE = 200
"""Pages whose items are read in one go, where no page takes a search."""


@dataclass
class Refresh:
    """What a build did."""

    untouched: int = 0
    """Topics whose index, text and settings are as they were: not looked at."""
    same: int = 0
    """Pages looked at again that came out as they were: their files stay."""
    written: int = 0
    removed: int = 0
    """Pages of topics that are gone."""
    items: int = 0
    """On all pages."""
    empty: dict[str, str] = field(default_factory=dict)
    """Topics without an item, and why."""
    doubtful: dict[str, str] = field(default_factory=dict)
    """Topics whose items may all be wrong, and why."""
    problems: list[tuple[str, str]] = field(default_factory=list)
    """(topic, what is wrong with it): the other pages are made all the same, and a page that was there stays."""
    kept: list[str] = field(default_factory=list)
    """Topics of ``problems`` that keep the page of an earlier build."""
    searched: int = 0
    """Topics of ``same`` and ``written`` that were searched for; the others were brought up to date without."""
    note: str = ""
    """Why searches could not be spared, or cannot be the next time; "" where nothing is to be said."""


class PageBuilder:
    """Brings pages up to date.

    Args:
        recommender: of an index at one version.
        folder: of the pages.
        settings: checked.
        version: name of the version.
        advance: told how many topics are done.
    """

    def __init__(
        self,
        recommender: TopicRecommender,
        folder: Path,
        settings: PageSettings,
        version: str,
        advance: Callable[[int], None],
    ) -> None:
        self._recommender, self._index, self._folder = recommender, recommender.index, folder
        self._settings, self._version, self._advance = settings, version, advance
        self._done = Refresh()

    def build(self, topics: Sequence[Topic], expected: bool) -> Refresh:
        """Bring all pages up to date, those first that need no search."""
        keys = {topic.topic_id: _key(self._recommender, topic, self._settings) for topic in topics}
        self._keys = keys
        left = [topic for topic in topics if not self._is_current(topic, self._version)]
        self._advance(len(topics) - len(left))
        if left:
            recommender, settings = self._recommender, self._settings
            source = TopicSource(recommender, self._version, topics, keys, settings, self._folder, expected)
            known = [topic for topic in left if source.kept(topic.topic_id) is not None]
            changed = [topic for topic in known if not self._stays(topic, source)]
            self._advance(len(known) - len(changed))
            for start in range(0, len(changed), _AT_ONCE):
                self._choose(changed[start : start + _AT_ONCE], source)
            for topic in left:
                if source.kept(topic.topic_id) is None:
                    self._search(topic, source)
            source.write()
            self._done.note = source.note
        order = {topic.topic_id: place for place, topic in enumerate(topics)}
        self._done.problems.sort(key=lambda problem: order[problem[0]])
        return self._done

    def _paths(self, topic: Topic) -> tuple[Path, Path]:
        page, source = (self._folder / part / f"{topic.topic_id}.json" for part in (PAGES, SOURCES))
        return page, source

    def _is_current(self, topic: Topic, version: str | None) -> bool:
        """Whether a page was made from a version of the table; then it is counted, unless that is an earlier one."""
        page, source = self._paths(topic)
        if read_or_none(source) != {"key": self._keys[topic.topic_id], "version": version}:
            return False
        shown = read_or_none(page)
        if shown is not None and version == self._version:
            self._done.untouched += 1
            self._count(topic, shown)
        return shown is not None

    def _stays(self, topic: Topic, source: TopicSource) -> bool:
        """Whether nothing that a page shows or is chosen from changed since it was made."""
        same = source.is_same(topic.topic_id) and not source.columns and self._is_current(topic, source.kept_version)
        if same:
            self._made_from(topic)
            same = self._is_current(topic, self._version)
        return same

    def _search(self, topic: Topic, source: TopicSource) -> None:
        try:
            found, images = source.search(topic)
            page = self._chosen(topic, found, images)
            self._write(topic, page, self._hits(page.numbers))
            self._done.searched += 1
        except (UsageError, DataError) as error:  # of this topic: the others may be sound
            self._done.problems.append((topic.topic_id, str(error)))
        self._advance(1)

    def _choose(self, topics: Sequence[Topic], source: TopicSource) -> None:
        """Pages of topics that need no search."""
        pages = []
        for topic in topics:
            known = source.kept(topic.topic_id)
            assert known is not None
            pages.append(self._chosen(topic, *known))
        hits = self._hits(np.unique(np.concatenate([page.numbers for page in pages])))
        for topic, page in zip(topics, pages, strict=True):
            self._write(topic, page, hits)
            self._advance(1)

    def _chosen(self, topic: Topic, found: JudgedTopic, images: Images) -> ChosenPage:
        memory = self._recommender.memory
        calibration = None if memory is None else memory.calibration
        return choose_page(found, images, self._settings, calibration, self._facets, topic.where)

    def _facets(self, numbers: Numbers) -> list[list[Any]]:
        if not self._settings.diversify_by:
            return []
        fields = {column.name: column.field for column in self._index.metadata_columns}
        wanted = [fields[name] for name in self._settings.diversify_by]
        rows = read_rows(self._index, numbers, wanted)
        return [[facet(value) for value in rows[name].to_pylist()] for name in wanted]

    def _hits(self, numbers: Numbers) -> dict[int, Hit]:
        """What is shown of images, by the numbers of their rows."""
        fields = [name for name in self._index.fields(False) if name != "vector"]
        rows = read_rows(self._index, numbers, fields)
        nothing = np.empty((len(rows), 0), np.float32)
        return dict(zip(numbers.tolist(), self._index.hits_of(rows, nothing, [0.0] * len(rows)), strict=True))

    def _write(self, topic: Topic, page: ChosenPage, hits: dict[int, Hit]) -> None:
        path, _ = self._paths(topic)
        items = [
            replace(hits[number], rank=rank, probability=likely, similar=similar)
            for rank, (number, likely, similar) in enumerate(
                zip(page.numbers.tolist(), page.likely, page.similar, strict=True), start=1
            )
        ]
        text = page_text(topic, items, page)
        if text == text_or_none(path):
            self._done.same += 1
        else:
            atomic_write(path, text)
            self._done.written += 1
        self._made_from(topic)
        self._count(topic, {"items": items, "note": page.note, "reason": page.reason})

    def _made_from(self, topic: Topic) -> None:
        write_object(self._paths(topic)[1], {"key": self._keys[topic.topic_id], "version": self._version})

    def _count(self, topic: Topic, shown: dict[str, Any]) -> None:
        self._done.items += len(shown["items"])
        if not shown["items"]:
            self._done.empty[topic.topic_id] = str(shown.get("reason") or UNLIKELY)
        elif shown.get("note"):
            self._done.doubtful[topic.topic_id] = str(shown["note"])


def _key(recommender: TopicRecommender, topic: Topic, settings: PageSettings) -> str:
    """What a page depends on beside the index's table, as a short hash."""
    memory = None if recommender.memory is None else recommender.memory.fingerprint
    model = recommender.index.manifest.model_fingerprint
    parts = [FORMAT, model, memory, list(topic.texts), topic.where, stored(asdict(settings), STORED_SETTINGS)]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:16]
