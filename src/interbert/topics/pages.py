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

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from interbert.errors import DataError, UsageError, writing
from interbert.search.index import ProductIndex
from interbert.topics.kept_topics import FILE
from interbert.topics.page_builder import FORMAT, STORED_SETTINGS, UNLIKELY, PageBuilder, Refresh
from interbert.topics.page_files import (
    BUILT_FROM,
    LIST,
    PAGES,
    REMEDY,
    SOURCES,
    drop_page,
    is_page,
    read_object,
    read_or_none,
    write_object,
)
from interbert.topics.recommend import PageSettings, TopicRecommender
from interbert.topics.topic_file import Topic, names_file
from interbert.utils.files import is_part, only_writer
from interbert.utils.redaction import published, stripped
from interbert.utils.stored_names import stored
from interbert.utils.terminal import progress_bar


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
        expected = (folder / LIST).is_file()
        for name in (PAGES, SOURCES):
            (folder / name).mkdir(parents=True, exist_ok=True)
        with recommender.at_newest() as version, progress_bar("topics", len(topics), "topics", progress) as advance:
            done = PageBuilder(recommender, folder, settings, version, advance).build(topics, expected)
        wanted = {topic.topic_id for topic in topics}
        for file in sorted((folder / PAGES).glob("*.json")):
            if file.stem not in wanted and is_page(file):
                drop_page(folder, file.stem)
                done.removed += 1
        _list_pages(recommender.index, topics, folder, settings, done)
    return done


def _list_pages(
    index: ProductIndex, topics: Sequence[Topic], folder: Path, settings: PageSettings, done: Refresh
) -> None:
    """Write what pages there are, and what is wrong with the others."""
    done.kept = [name for name, _ in done.problems if read_or_none(folder / PAGES / f"{name}.json") is not None]
    without = {name for name, _ in done.problems} - set(done.kept)
    problems = [
        {"topic_id": name, "reason": reason, "page": "kept" if name in done.kept else "none"}
        for name, reason in done.problems
    ]
    source, model = index.manifest.origin
    about = {"format": FORMAT, "index": published(index.path), "source": source, "model": model}
    about["settings"] = stored(asdict(settings), STORED_SETTINGS)
    about["topics"] = [topic.topic_id for topic in topics if topic.topic_id not in without]
    write_object(folder / BUILT_FROM, {"index": stripped(index.path)})
    write_object(folder / LIST, {**about, "problems": published(problems)})


def read_pages(out: str | Path) -> tuple[str, list[BuiltPage]]:
    """The index's path and the pages of a folder, in the order of the topics.

    Raises:
        UsageError: there are no pages.
        DataError: a file is damaged.
    """
    folder = Path(out)
    if not (folder / LIST).is_file():
        raise UsageError(f"{out}: there are no topic pages here. Make them with: interbert topics build")
    about = read_object(folder / LIST)
    pages = []
    try:
        for name in about["topics"]:
            if not names_file(name):
                raise TypeError
            pages.append(_built(folder / PAGES / f"{name}.json"))
        private = folder / BUILT_FROM  # earlier versions wrote the path into the list
        return str((read_object(private) if private.is_file() else about)["index"]), pages
    except (KeyError, TypeError) as error:
        raise DataError(f"{folder / LIST}: does not say what pages there are. {REMEDY}") from error


def _built(path: Path) -> BuiltPage:
    """A page's file.

    Raises:
        DataError: it is missing, or not as a build writes it.
    """
    one = read_object(path)
    texts, items = one.get("texts"), one.get("items")
    if (
        not (isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts))
        or not (isinstance(items, list) and all(isinstance(item, dict) for item in items))
        or "topic_id" not in one
    ):
        raise DataError(f"{path}: is no topic page. {REMEDY}")
    return BuiltPage(
        str(one["topic_id"]),
        tuple(texts),
        one.get("where"),
        tuple(items),
        str(one.get("reason") or ("" if items else UNLIKELY)),
        str(one.get("note") or ""),
    )


def _require_place(folder: Path) -> None:
    if any(parent.exists() and not parent.is_dir() for parent in (folder, *folder.parents)):
        raise UsageError(f"{folder}: is a file, or lies below one. Name a folder.")
    ours = "settings" in (read_or_none(folder / LIST) or {}) or _is_begun(folder)
    if folder.exists() and any(folder.iterdir()) and not ours:
        raise UsageError(f"{folder}: the folder is not empty and holds no topic pages. Name another folder.")


def _is_begun(folder: Path) -> bool:
    """Whether a folder without a list is what a killed build left: others, too, have a folder called pages."""
    if not folder.is_dir():
        return False
    others = [
        one for one in folder.iterdir() if one.name not in (PAGES, SOURCES, BUILT_FROM, FILE) and not is_part(one)
    ]
    return not others and all(is_page(file) or is_part(file) for file in (folder / PAGES).glob("*"))
