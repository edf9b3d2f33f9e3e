"""A file that is there is replaced only by one of its kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interbert.cli.main import main
from interbert.errors import UsageError
from interbert.utils.files import (
    BENCHMARK_METRICS,
    DRAWING,
    FINDINGS,
    JUDGEMENTS,
    KDD_SUBMISSION,
    MUGE_PREDICTIONS,
    PAGE,
    RETRIEVAL_METRICS,
    TOPIC_METRICS,
    Kind,
    require_apart,
    write_output,
)

METRICS = {"model": "m", "regions": "r", "regions_fingerprint": "f", "queries": 3}
SOUND = [
    (PAGE, "<!doctype html>\n<html>"),
    (PAGE, "\ufeff  <!DOCTYPE HTML>"),
    (DRAWING, '<svg viewBox="0 0 1 1">'),
    (DRAWING, '<?xml version="1.0"?>\n<svg>'),
    (FINDINGS, '{"row": 1, "reason": "' + 900 * "x" + '", "kind": "damaged"}\n{"row": 2}\n'),
    (RETRIEVAL_METRICS, json.dumps(METRICS)),
    (TOPIC_METRICS, json.dumps({"index": "i", "topics": "t", "by_field": {}})),
    (KDD_SUBMISSION, "query-id,product1,product2,product3,product4,product5\r\n1,2,3,4,5,6\n"),
    (MUGE_PREDICTIONS, '{"text_id": 1, "image_ids": [2]}\n{"text_id": 2, "image_ids": [3]}\n'),
    (BENCHMARK_METRICS, json.dumps({"benchmark": "kdd", "model": "m", "regions": "r"})),
    (JUDGEMENTS, "query\tproduct_id\tgrade\tsearches\ndress\tp1\t3\t1\n"),
    (JUDGEMENTS, '{"query": "dress", "product_id": "p1", "grade": 3, "searches": 1}\n'),
    (PAGE, ""),
]
OTHERS = [
    "PAR1\0\1",
    '{"model_type": "interbert"}',
    '{"topics": ["a"], "settings": {}}',
    "id,title\n1,shirt\n",
    "query\tproduct_id\tgrade\ndress\tp1\t3\n",
    "[1]",
    '{"text_id": 1, "text": "shirt", "image_ids": [2]}',
    "{",
]


@pytest.mark.parametrize(("kind", "text"), SOUND)
def test_the_same_kind_is_replaced(kind: Kind, text: str, tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_text(text, encoding="utf-8")
    write_output(file, "new", kind)
    assert file.read_text() == "new"


@pytest.mark.parametrize("kind", {kind.name: kind for kind, _ in SOUND}.values(), ids=lambda kind: kind.name)
@pytest.mark.parametrize("text", OTHERS)
def test_another_kind_stays(kind: Kind, text: str, tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_text(text)
    with pytest.raises(UsageError, match="is there already and is not"):
        write_output(file, "new", kind)
    assert file.read_text() == text


def test_a_link_is_followed_and_a_device_is_written(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>")
    (tmp_path / "link").symlink_to(tmp_path / "page.html")
    write_output(tmp_path / "link", "<html>new", PAGE)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "page.html").read_text() == "<html>new"
    write_output("/dev/null", "<html>new", PAGE)
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize(
    "words",
    [
        ("regions", "show", "store", "--out", "FILE"),
        ("regions", "verify", "store", "--out", "FILE"),
        ("report", "run", "--out", "FILE"),
        ("topics", "page", "pages", "FILE"),
        ("search", "model", "red", "--source", "x", "--page", "FILE"),
        ("evaluate", "retrieval", "model", "store", "--out", "FILE"),
        ("evaluate", "retrieval", "model", "store", "--cascade", "2", "--plot", "FILE"),
        ("topics", "evaluate", "index", "topics.jsonl", "--out", "FILE"),
    ],
)
def test_every_verb_refuses_before_it_does_anything(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"model_type": "interbert"}')
    code = main([str(file) if word == "FILE" else word for word in words])
    assert code == 2
    assert f"{file}: is there already and is not" in capsys.readouterr().err
    assert file.read_text() == '{"model_type": "interbert"}'
    assert list(tmp_path.iterdir()) == [file]


def test_two_options_name_two_files(tmp_path: Path) -> None:
    require_apart({"--out": str(tmp_path / "a.json"), "--plot": str(tmp_path / "a.svg"), "--page": None})
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="is named by --out and --plot"):
        require_apart({"--out": str(tmp_path / "a"), "--plot": str(tmp_path / "folder" / ".." / "a")})
