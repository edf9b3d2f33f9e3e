"""A folder of topic pages: made once, then brought up to date by looking only at what changed.

::

    OUT/topics.json          settings, the names of index, source and model, and the list of pages
    OUT/built_from.json      where the index is: of this machine, not to publish
    OUT/pages/ID.json        what a page shows
    OUT/sources/ID.json      what it was made from, to know when nothing changed

Every file is written whole or not at all, a page as soon as it is made, so a stopped command goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from interbert.errors import DataError, UsageError, first_line, writing
from interbert.search.hits import Hit
from interbert.search.index import ProductIndex
from interbert.topics.recommend import PageSettings, TopicRecommender
from interbert.topics.selection import doubt, select_items, why_empty
from interbert.topics.topic_file import Topic, names_file
from interbert.utils.bounded_files import read_json
from interbert.utils.files import atomic_write, is_part, only_writer
from interbert.utils.redaction import published, stripped
from interbert.utils.stored_names import stored
from interbert.utils.terminal import progress_bar

_SETTINGS = {"min_probability": "least", "diversify_by": "spread"}
_FORMAT = 4
"""Of how pages are made: raised when the same evidence gives other pages, so that all are looked at again."""
_LIST, _PAGES, _SOURCES, _BUILT_FROM = "topics.json", "pages", "sources", "built_from.json"
_UNLIKELY = "no product is likely enough"
"""Why a page is empty that an earlier version made."""
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
    index = recommender.index
    with only_writer(folder), writing(folder):
        for name in (_PAGES, _SOURCES):
            (folder / name).mkdir(parents=True, exist_ok=True)
        done = Refresh()
        index.refresh()
        version = _version(index)
        with progress_bar("topics", len(topics), "topics", progress) as advance:
            for topic in topics:
                try:
                    _refresh(recommender, topic, folder, settings, version, done)
                except (UsageError, DataError) as error:  # of this topic: the others may be sound
                    done.problems.append((topic.topic_id, str(error)))
                advance(1)
        wanted = {topic.topic_id for topic in topics}
        for file in sorted((folder / _PAGES).glob("*.json")):
            if file.stem not in wanted and _is_page(file):
                _drop(folder, file.stem)
                done.removed += 1
        done.kept = [name for name, _ in done.problems if _read_or_none(folder / _PAGES / f"{name}.json") is not None]
        without = {name for name, _ in done.problems} - set(done.kept)
        listed = [topic.topic_id for topic in topics if topic.topic_id not in without]
        problems = [
            {"topic_id": name, "reason": reason, "page": "kept" if name in done.kept else "none"}
            for name, reason in done.problems
        ]
        source, model = index.manifest.origin
        about = {"format": _FORMAT, "index": published(index.path), "source": source, "model": model}
        _write(folder / _BUILT_FROM, {"index": stripped(index.path)})
        _write(
            folder / _LIST,
            {
                **about,
                "settings": stored(asdict(settings), _SETTINGS),
                "topics": listed,
                "problems": published(problems),
            },
        )
    return done


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
            if not names_file(name):
                raise TypeError
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


def _version(index: ProductIndex) -> str:
    """What changes whenever the index's table does: also where an index made anew has as many commits as the last."""
    newest = index.table.list_versions()[-1]
    return f"{index.manifest.table}@{newest['version']} of {newest['timestamp'].isoformat()}"


def _refresh(
    recommender: TopicRecommender, topic: Topic, folder: Path, settings: PageSettings, version: str, done: Refresh
) -> None:
    """Bring one page up to date."""
    path, source = (folder / part / f"{topic.topic_id}.json" for part in (_PAGES, _SOURCES))
    made_from = {"key": _key(recommender, topic, settings), "version": version}
    shown = _read_or_none(path)
    if shown is not None and _read_or_none(source) == made_from:
        done.untouched += 1
    else:
        candidates = recommender.candidates(topic.texts, topic.where, settings)
        page = select_items(candidates, settings, recommender.encoder.direction_size)
        about = {"note": doubt(candidates)} if page else {"reason": why_empty(candidates, settings, topic.where)}
        content = _content(topic, page, about)
        if content == shown:
            done.same += 1
        else:
            _write(path, content)
            done.written += 1
        _write(source, made_from)
        shown = content
    done.items += len(shown["items"])
    if not shown["items"]:
        done.empty[topic.topic_id] = str(shown.get("reason") or _UNLIKELY)
    elif shown.get("note"):
        done.doubtful[topic.topic_id] = str(shown["note"])


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
    others = [one for one in folder.iterdir() if one.name not in (_PAGES, _SOURCES, _BUILT_FROM) and not is_part(one)]
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
