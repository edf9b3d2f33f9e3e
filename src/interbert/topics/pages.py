"""A folder of topic pages: made once, then brought up to date by looking only at what changed.

::

    OUT/topics.json          settings, the names of index, source and model, and the list of pages
    OUT/built_from.json      where the index is: of this machine, not to publish
    OUT/pages/ID.json        what a page shows
    OUT/sources/ID.json      what it was made from, to know when nothing changed
    OUT/kept.safetensors     what searches found, so that a refresh need not search again

Every file is written whole or not at all, a page as soon as it is made, so a stopped command goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from interbert.errors import DataError, UsageError, first_line, writing
from interbert.search.hits import Hit
from interbert.search.index import ProductIndex
from interbert.search.table_rows import read_rows
from interbert.topics.choice import facet
from interbert.topics.judged_topics import ChosenPage, Images, JudgedTopic, choose_page
from interbert.topics.kept_topics import FILE
from interbert.topics.near_lists import Numbers
from interbert.topics.recommend import PageSettings, TopicRecommender
from interbert.topics.topic_file import Topic
from interbert.topics.topic_source import TopicSource
from interbert.utils.bounded_files import read_json
from interbert.utils.files import atomic_write, is_part, only_writer
from interbert.utils.redaction import published, stripped
from interbert.utils.stored_names import stored
from interbert.utils.terminal import progress_bar

_SETTINGS = {"min_probability": "least", "diversify_by": "spread"}
_FORMAT = 5
"""Of how pages are made: raised when the same evidence gives other pages, so that all are looked at again."""
_LIST, _PAGES, _SOURCES, _BUILT_FROM = "topics.json", "pages", "sources", "built_from.json"
_UNLIKELY = "no product is likely enough"
"""Why a page is empty that an earlier version made."""
_AT_ONCE = 200
"""Pages whose items are read in one go, where no page takes a search."""
_REMEDY = "Run interbert topics build again."


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


@dataclass(frozen=True)
class BuiltPage:
    """A page as it was written."""

    topic_id: str
    texts: tuple[str, ...]
    where: str | None
    items: tuple[dict[str, Any], ...]
    """Per item: rank, id, product_id, probability, texts, metadata, similar."""
    reason: str = ""
    """Why there is no item; "" where there are some."""
    note: str = ""
    """Why the items may all be wrong; "" where nothing says so."""


def build_topics(
    recommender: TopicRecommender,
    topics: Sequence[Topic],
    out: str | Path,
    settings: PageSettings,
    progress: bool = False,
) -> Refresh:
    """Make or refresh the pages of topics.

    Args:
        recommender: of the index.
        topics: what pages to have; pages of others are removed. One whose page cannot be made keeps the page that it
            has, and is listed with the reason, also in ``topics.json``.
        out: folder; made when it is not there.
        settings: of all pages.
        progress: show a bar.

    Raises:
        UsageError: ``out`` is something else, another command is writing it, or a column is not in the index.
        StorageError: the disk is full or not writable; pages already written stay.
        VectorIndexError: the index cannot be read at all.
    """
    folder = Path(out)
    _require_place(folder)
    recommender.refresh()
    recommender.require_columns(settings.check().diversify_by)
    with only_writer(folder), writing(folder):
        expected = (folder / _LIST).is_file()
        for name in (_PAGES, _SOURCES):
            (folder / name).mkdir(parents=True, exist_ok=True)
        with recommender.at_newest() as version, progress_bar("topics", len(topics), "topics", progress) as advance:
            done = _Builder(recommender, folder, settings, version, advance).build(topics, expected)
        wanted = {topic.topic_id for topic in topics}
        for file in sorted((folder / _PAGES).glob("*.json")):
            if file.stem not in wanted and _is_page(file):
                _drop(folder, file.stem)
                done.removed += 1
        _list_pages(recommender.index, topics, folder, settings, done)
    return done


def _list_pages(
    index: ProductIndex, topics: Sequence[Topic], folder: Path, settings: PageSettings, done: Refresh
) -> None:
    """Write what pages there are, and what is wrong with the others."""
    done.kept = [name for name, _ in done.problems if _read_or_none(folder / _PAGES / f"{name}.json") is not None]
    without = {name for name, _ in done.problems} - set(done.kept)
    problems = [
        {"topic_id": name, "reason": reason, "page": "kept" if name in done.kept else "none"}
        for name, reason in done.problems
    ]
    source, model = index.manifest.origin
    about = {"format": _FORMAT, "index": published(index.path), "source": source, "model": model}
    about["settings"] = stored(asdict(settings), _SETTINGS)
    about["topics"] = [topic.topic_id for topic in topics if topic.topic_id not in without]
    _write(folder / _BUILT_FROM, {"index": stripped(index.path)})
    _write(folder / _LIST, {**about, "problems": published(problems)})


def read_pages(out: str | Path) -> tuple[str, list[BuiltPage]]:
    """The index's path and the pages of a folder, in the order of the topics.

    Raises:
        UsageError: there are no pages.
        DataError: a file is damaged.
    """
    folder = Path(out)
    if not (folder / _LIST).is_file():
        raise UsageError(f"{out}: there are no topic pages here. Make them with: interbert topics build")
    about = _read(folder / _LIST)
    pages = []
    try:
        for name in about["topics"]:
            pages.append(_built(folder / _PAGES / f"{name}.json"))
        private = folder / _BUILT_FROM  # earlier versions wrote the path into the list
        return str((_read(private) if private.is_file() else about)["index"]), pages
    except (KeyError, TypeError) as error:
        raise DataError(f"{folder / _LIST}: does not say what pages there are. {_REMEDY}") from error


def _built(path: Path) -> BuiltPage:
    """A page's file.

    Raises:
        DataError: it is missing, or not as a build writes it.
    """
    one = _read(path)
    texts, items = one.get("texts"), one.get("items")
    if (
        not (isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts))
        or not (isinstance(items, list) and all(isinstance(item, dict) for item in items))
        or "topic_id" not in one
    ):
        raise DataError(f"{path}: is no topic page. {_REMEDY}")
    return BuiltPage(
        str(one["topic_id"]),
        tuple(texts),
        one.get("where"),
        tuple(items),
        str(one.get("reason") or ("" if items else _UNLIKELY)),
        str(one.get("note") or ""),
    )


class _Builder:
    """Brings pages up to date, of an index at one version."""

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
        if left:
            recommender, settings = self._recommender, self._settings
            source = TopicSource(recommender, self._version, topics, keys, settings, self._folder, expected)
            known = [topic for topic in left if source.kept(topic.topic_id) is not None]
            changed = [topic for topic in known if not self._stays(topic, source)]
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
        page, source = (self._folder / part / f"{topic.topic_id}.json" for part in (_PAGES, _SOURCES))
        return page, source

    def _is_current(self, topic: Topic, version: str | None) -> bool:
        """Whether a page was made from a version of the table; then it is counted, unless that is an earlier one."""
        page, source = self._paths(topic)
        if _read_or_none(source) != {"key": self._keys[topic.topic_id], "version": version}:
            return False
        shown = _read_or_none(page)
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
        fields = {column.name: column.field for column in self._index.metadata_columns}
        wanted = [fields[name] for name in self._settings.diversify_by]
        if not wanted:
            return []
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
        content = _content(topic, items, {"note": page.note, "reason": page.reason})
        if content == _read_or_none(path):
            self._done.same += 1
        else:
            _write(path, content)
            self._done.written += 1
        self._made_from(topic)
        self._count(topic, content)

    def _made_from(self, topic: Topic) -> None:
        _write(self._paths(topic)[1], {"key": self._keys[topic.topic_id], "version": self._version})

    def _count(self, topic: Topic, shown: dict[str, Any]) -> None:
        self._done.items += len(shown["items"])
        if not shown["items"]:
            self._done.empty[topic.topic_id] = str(shown.get("reason") or _UNLIKELY)
        elif shown.get("note"):
            self._done.doubtful[topic.topic_id] = str(shown["note"])


def _key(recommender: TopicRecommender, topic: Topic, settings: PageSettings) -> str:
    """What a page depends on beside the index's table, as a short hash."""
    memory = None if recommender.memory is None else recommender.memory.fingerprint
    model = recommender.index.manifest.model_fingerprint
    parts = [_FORMAT, model, memory, list(topic.texts), topic.where, stored(asdict(settings), _SETTINGS)]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:16]


def _content(topic: Topic, page: Sequence[Hit], about: dict[str, str]) -> dict[str, Any]:
    items = [_item(one) for one in page]
    whole = {"topic_id": topic.topic_id, "texts": list(topic.texts), "where": topic.where, "items": items}
    whole |= {name: text for name, text in about.items() if text}
    return dict(json.loads(json.dumps(whole, ensure_ascii=False, default=str)))


def _item(one: Hit) -> dict[str, Any]:
    return {
        "rank": one.rank,
        "id": one.id,
        "product_id": one.product_id,
        "probability": None if one.probability is None else round(one.probability, 4),
        "texts": list(one.texts),
        "metadata": one.metadata,
        "similar": list(one.similar),
    }


def _require_place(folder: Path) -> None:
    if any(parent.exists() and not parent.is_dir() for parent in (folder, *folder.parents)):
        raise UsageError(f"{folder}: is a file, or lies below one. Name a folder.")
    ours = "settings" in (_read_or_none(folder / _LIST) or {}) or _is_begun(folder)
    if folder.exists() and any(folder.iterdir()) and not ours:
        raise UsageError(f"{folder}: the folder is not empty and holds no topic pages. Name another folder.")


def _is_begun(folder: Path) -> bool:
    """Whether a folder without a list is what a killed build left: others, too, have a folder called pages."""
    if not folder.is_dir():
        return False
    others = [
        one for one in folder.iterdir() if one.name not in (_PAGES, _SOURCES, _BUILT_FROM, FILE) and not is_part(one)
    ]
    return not others and all(_is_page(file) or is_part(file) for file in (folder / _PAGES).glob("*"))


def _is_page(file: Path) -> bool:
    page = _read_or_none(file) or {}
    return page.get("topic_id") == file.stem and "items" in page


def _write(path: Path, content: dict[str, Any]) -> None:
    atomic_write(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def _drop(folder: Path, name: str) -> None:
    for kind in (_PAGES, _SOURCES):
        (folder / kind / f"{name}.json").unlink(missing_ok=True)


def _read_or_none(path: Path) -> dict[str, Any] | None:
    """A file's object; None when it is missing or damaged, as it is made again then."""
    try:
        return _read(path)
    except DataError:
        return None


def _read(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file. {_REMEDY}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is damaged ({first_line(error)}). {_REMEDY}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: is damaged. {_REMEDY}")
    return value
