"""Topics as people write them: a jsonl file, one topic a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interbert.errors import UsageError, listed
from interbert.utils.bounded_files import json_value

_ID = re.compile(r"[^\W_][\w.-]{0,99}")
_LONGEST = 100_000
"""Characters of a line."""
_MOST = 1_000_000
"""Topics of a file: each becomes two files of its own."""


@dataclass(frozen=True)
class Topic:
    """A page to make."""

    topic_id: str
    """Names its files."""
    texts: tuple[str, ...]
    """Wordings of the same topic, in any language; their evidence is averaged."""
    where: str | None = None
    """A filter that every item has to pass."""
    relevant: dict[str, list[str]] = field(default_factory=dict)
    """For evaluation: which values of which columns make a product relevant; all columns have to fit."""


def read_topics(path: str | Path, fields: Sequence[str] = ("text",), leave_out: bool = False) -> list[Topic]:
    """Read a file of topics.

    A line is an object with the topic's text in ``fields``, and as it likes ``topic_id`` (t0, t1 ... when there is
    none), ``where`` and ``relevant``.

    Args:
        path: jsonl file in UTF-8.
        fields: names of the texts; a topic needs one of them at least.
        leave_out: leave a topic out that has none of them, in place of raising.

    Raises:
        UsageError: the file is missing or empty, or a line is no topic; it is named. No topic has such a text.
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"{path}: there is no such file. Topics are a jsonl file with a text in every line.")
    topics: list[Topic] = []
    seen: dict[str, int] = {}
    try:
        for number, line in _lines(file):
            if not line.strip():
                continue
            topic = _topic(line, fields, f"{path}, line {number}", f"t{len(seen)}")
            if len(seen) == _MOST:
                raise UsageError(f"{path}: has more than {_MOST:,} topics, which are not read. Split it.")
            if topic.topic_id.casefold() in seen:  # files of some disks do not tell cases apart
                raise UsageError(
                    f"{path}, line {number}: topic_id {topic.topic_id!r} is that of line "
                    f"{seen[topic.topic_id.casefold()]} too. Give every topic its own."
                )
            seen[topic.topic_id.casefold()] = number
            if topic.texts:
                topics.append(topic)
            elif not leave_out:
                raise UsageError(
                    f"{path}, line {number}: has no text in {', '.join(map(repr, fields))}. "
                    f"It has: {listed(json.loads(line)) or 'nothing'}."
                )
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is no text in UTF-8. Save it as UTF-8.") from error
    if not seen:
        raise UsageError(f"{path}: holds no topics. Write one object with a text per line.")
    if not topics:
        raise UsageError(f"{path}: none of its {len(seen)} topics has a text in {', '.join(map(repr, fields))}.")
    return topics


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; of one that is too long, as much as shows that it is, and no more of the file."""
    with file.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(_LONGEST + 2), ""), start=1):
            yield number, line.removesuffix("\n")


def _topic(line: str, fields: Sequence[str], where: str, otherwise: str) -> Topic:
    if len(line) > _LONGEST:
        raise UsageError(f"{where}: is more than {_LONGEST:,} characters long, which no topic is.")
    try:
        values = json_value(line)
    except ValueError as error:
        raise UsageError(f"{where}: is no JSON ({error}). Write one object per line.") from error
    if not isinstance(values, dict):
        raise UsageError(f'{where}: is no object. Write {{"topic_id": ..., "text": ...}}.')
    texts = tuple(" ".join(values[name].split()) for name in fields if isinstance(values.get(name), str))
    texts = tuple(text for text in texts if text)
    identifier = str(values.get("topic_id", otherwise))
    if not names_file(identifier):
        raise UsageError(
            f"{where}: topic_id {identifier[:40]!r} cannot name a file. Use letters, digits, and . _ - inside."
        )
    condition = values.get("where")
    if condition is not None and not isinstance(condition, str):
        raise UsageError(f"{where}: 'where' is no text. Write a filter such as \"price < 50\".")
    return Topic(identifier, texts, condition or None, _rule(values.get("relevant"), where))


def _rule(rule: Any, where: str) -> dict[str, list[str]]:
    if rule is None:
        return {}
    if not isinstance(rule, dict) or not all(isinstance(listed, list) for listed in rule.values()):
        raise UsageError(f'{where}: \'relevant\' is no object of lists. Write {{"colour": ["red", "pink"]}}.')
    return {str(name): [str(value) for value in listed] for name, listed in rule.items()}


def names_file(topic_id: object) -> bool:
    """Whether a topic's id, which a file of others may say, names a file and never a folder or a path."""
    return isinstance(topic_id, str) and _ID.fullmatch(topic_id) is not None
