"""Files of topics: what is read, and one clear line for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from interbert.errors import UsageError
from interbert.topics.topic_file import read_topics


def test_topics_are_read_with_ids_filters_and_rules(tmp_path: Path) -> None:
    file = tmp_path / "topics.jsonl"
    file.write_text(
        '\ufeff{"topic_id": "jeans", "text": " blue  jeans ", "text_zh": "牛仔裤", "where": "price < 50"}\n\n'
        '{"text": "hats", "relevant": {"kind": ["Cap", "Hat"]}}\n',
        encoding="utf-8",
    )
    jeans, hats = read_topics(file, ["text", "text_zh"])
    assert jeans.texts == ("blue jeans", "牛仔裤")
    assert (jeans.topic_id, jeans.where) == ("jeans", "price < 50")
    assert (hats.topic_id, hats.texts, hats.relevant) == ("t1", ("hats",), {"kind": ["Cap", "Hat"]})
    assert [one.texts for one in read_topics(file)] == [("blue jeans",), ("hats",)]


def test_topics_without_a_wording_are_left_out_where_that_is_meant(tmp_path: Path) -> None:
    file = tmp_path / "topics.jsonl"
    file.write_text('{"text": "red"}\n{"text": "blue", "text_zh": "蓝色"}', encoding="utf-8")
    assert [one.topic_id for one in read_topics(file, ["text_zh"], leave_out=True)] == ["t1"]
    with pytest.raises(UsageError, match="none of its 2 topics has a text in 'text_fr'"):
        read_topics(file, ["text_fr"], leave_out=True)
    with pytest.raises(UsageError, match="line 1: has no text in 'text_zh'"):
        read_topics(file, ["text_zh"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no topics"),
        ("{broken", "line 1: is no JSON"),
        ("[1]", "line 1: is no object"),
        ('{"title": "x"}', "line 1: has no text in 'text'. It has: title"),
        ('{"text": "  "}', "line 1: has no text"),
        ('{"text": "a", "topic_id": "../../x"}', "cannot name a file"),
        ('{"text": "a", "topic_id": "A"}\n{"text": "b", "topic_id": "a"}', "line 2: topic_id 'a' is that of line 1"),
        ('{"text": "a", "where": 3}', "'where' is no text"),
        ('{"text": "a", "relevant": {"kind": "Cap"}}', "'relevant' is no object of lists"),
        ('{"text": "' + "a" * 200_000 + '"}', "characters long"),
    ],
)
def test_what_is_no_topic_is_named_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "topics.jsonl"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=message.replace("(", r"\(").replace("'", ".")) as caught:
        read_topics(file)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_topics(tmp_path / "nowhere.jsonl")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(UsageError, match="UTF-8"):
        read_topics(tmp_path / "bytes")
