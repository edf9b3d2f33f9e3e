"""The files of a folder of topic pages (:mod:`interbert.topics.pages`), each written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interbert.errors import DataError, first_line
from interbert.search.hits import Hit
from interbert.topics.judged_topics import ChosenPage
from interbert.topics.topic_file import Topic
from interbert.utils.bounded_files import read_json, read_small_text
from interbert.utils.files import atomic_write

LIST, PAGES, SOURCES, BUILT_FROM = "topics.json", "pages", "sources", "built_from.json"
REMEDY = "Run interbert topics build again."


def page_text(topic: Topic, items: Sequence[Hit], page: ChosenPage) -> str:
    """A page's file, a line an item."""
    lines = ",\n".join(_json(_item(one)) for one in items)
    parts = {"topic_id": _json(topic.topic_id), "texts": _json(list(topic.texts)), "where": _json(topic.where)}
    parts |= {"items": f"[\n{lines}\n]" if items else "[]"}
    parts |= {name: _json(text) for name, text in (("note", page.note), ("reason", page.reason)) if text}
    return "{\n" + ",\n".join(f"{_json(name)}: {text}" for name, text in parts.items()) + "\n}\n"


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


def is_page(file: Path) -> bool:
    """Whether a file is a page of the topic that it is called after."""
    page = read_or_none(file) or {}
    return page.get("topic_id") == file.stem and "items" in page


def write_object(path: Path, content: dict[str, Any]) -> None:
    """Write an object as JSON.

    Raises:
        StorageError: the disk is full or not writable.
    """
    atomic_write(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def text_or_none(path: Path) -> str | None:
    """A file's text; None when it is missing or damaged."""
    try:
        return read_small_text(path)
    except (OSError, ValueError):
        return None


def drop_page(folder: Path, name: str) -> None:
    """Remove a topic's page and what it was made from."""
    for kind in (PAGES, SOURCES):
        (folder / kind / f"{name}.json").unlink(missing_ok=True)


def read_or_none(path: Path) -> dict[str, Any] | None:
    """A file's object; None when it is missing or damaged, as it is made again then."""
    try:
        return read_object(path)
    except DataError:
        return None


def read_object(path: Path) -> dict[str, Any]:
    """A file's object.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        value = read_json(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file. {REMEDY}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is damaged ({first_line(error)}). {REMEDY}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: is damaged. {REMEDY}")
    return value
