"""JSON as it is written: no dates out of texts, no numbers out of ids."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import draw, file_bytes

from interbert.errors import SourceError
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.json_rows import read_json_rows
from interbert.extraction.sources import open_source
from interbert.extraction.tables import _read_hub, read_rows


def rows(folder: Path, *contents: str) -> list[dict[str, object]]:
    """Rows of files with these contents."""
    files = []
    for number, content in enumerate(contents):
        files.append(folder / f"{number}.json")
        files[-1].write_text(content, encoding="utf-8")
    return [dict(row) for row in read_json_rows(files)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "list.json", "a-*.jsonl"])
def test_dates_stay_texts_and_ids_keep_their_zeros(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.png").write_bytes(file_bytes(draw("red", "circle")))
    records = [
        {"image": "a.png", "sku": "2026-01-01", "title": "2026-01-05", "launched": "2026-01-05"},
        {"image": "a.png", "sku": "000116", "title": ["2026-01-05T10:00:00Z", "x"], "launched": None},
        {"image": "a.png", "sku": 412, "title": "1", "launched": "2026-01-05 10:00"},
        {"image": "a.png", "sku": "12:30", "title": "2", "launched": ""},
    ]
    if name.startswith("list"):
        (tmp_path / name).write_text(json.dumps(records))
    else:
        for number in range(2):
            part = records[2 * number : 2 * number + 2] if "*" in name else records
            (tmp_path / name.replace("*", str(number))).write_text("\n".join(map(json.dumps, part)))
    source = open_source(str(tmp_path / name), ColumnMapping(image="image", texts=("title",)))
    ids = ["2026-01-01", "000116", "412", "12:30"]
    assert [item.product_id for item in source] == ids
    assert [item.texts for item in source] == [("2026-01-05",), ("2026-01-05T10:00:00Z", "x"), ("1",), ("2",)]
    assert source.other_columns()["launched"].to_pylist() == ["2026-01-05", None, "2026-01-05 10:00", ""]
    named = open_source(str(tmp_path / name), ColumnMapping("image", ("title",), image_id="sku"))
    assert named.image_ids() == ids


def test_types_are_those_of_all_values_of_all_files(tmp_path: Path) -> None:
    found = rows(
        tmp_path,
        '{"a": 1, "b": true, "c": {"x": 1}, "d": 9007199254740993, "e": [1]}\n\n{"a": 2.5, "b": null, "n": null}\n',
        '[{"c": {"y": "2026-01-01"}, "e": 2.5, "late": "z"}]',
    )
    whole = {"a": None, "b": None, "c": None, "d": None, "e": None, "n": None, "late": None}
    assert found == [
        whole | {"a": 1.0, "b": True, "c": {"x": 1, "y": None}, "d": 9007199254740993, "e": [1.0]},
        whole | {"a": 2.5},
        whole | {"c": {"x": None, "y": "2026-01-01"}, "e": [2.5], "late": "z"},
    ]


def test_what_stands_beside_texts_is_taken_as_it_is_written(tmp_path: Path) -> None:
    values = ['"x"', "412", "8.50", "1e3", "-0.0", "true", "null", "NaN", "[1, 2.5]", '{"k": "v"}', "9" * 30]
    found = rows(tmp_path, "\n".join(f'{{"a": {value}, "b": "c"}}' for value in values))
    assert [row["a"] for row in found] == [
        *("x", "412", "8.50", "1e3", "-0.0", "true", None, None, "[1, 2.5]", '{"k": "v"}', "9" * 30)
    ]


def test_the_records_of_a_list_are_taken_as_they_are_written_too(tmp_path: Path) -> None:
    values = ['"x"', "8.50", "1e3", "-0.0", "NaN", "9" * 30]
    found = rows(tmp_path, "[" + ",\n".join(f'{{"a": {value}, "b": "cut \\ud83d"}}' for value in values) + "]")
    assert [row["a"] for row in found] == ["x", "8.50", "1e3", "-0.0", None, "9" * 30]
    assert {row["b"] for row in found} == {"cut \ufffd"}


def test_an_integer_that_is_no_float_and_one_that_fits_no_column_keep_every_digit(tmp_path: Path) -> None:
    assert [row["a"] for row in rows(tmp_path, '{"a": 1.5}\n{"a": 9007199254740993}')] == ["1.5", "9007199254740993"]
    assert rows(tmp_path, '{"a": 123456789012345678901234567890}') == [{"a": "123456789012345678901234567890"}]


def test_boxes_and_other_nested_lists_are_numbers(tmp_path: Path) -> None:
    assert rows(tmp_path, '{"boxes": [[1, 2, 3.5, 4], []]}\n{"boxes": []}') == [
        {"boxes": [[1.0, 2.0, 3.5, 4.0], []]},
        {"boxes": []},
    ]
    assert rows(tmp_path, '{"a": [{"z": "1"}, {"z": 2}]}') == [{"a": [{"z": "1"}, {"z": "2"}]}]
    deep = rows(tmp_path, f'{{"a": {"[" * 50}1{"]" * 50}, "b": 1}}')
    assert deep[0]["b"] == 1


def test_records_over_several_lines_a_byte_order_mark_and_half_an_emoji(tmp_path: Path) -> None:
    assert rows(tmp_path, '\ufeff{\n "a": 1\n}\n{\n "a":\n 2 }') == [{"a": 1}, {"a": 2}]
    assert rows(tmp_path, '{"a": "cut \\ud83d"}') == [{"a": "cut \ufffd"}]
    assert rows(tmp_path, '["x", "2026-01-01"]') == [{"text": "x"}, {"text": "2026-01-01"}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n\n{"a": ', "0.json: line 3 is no JSON"),
        ('{"a": 1}\n[2]\n', "0.json: line 2 is no record, but \\[2\\]"),
        ('[{"a": 1}, 2]', "0.json: element 1 is no record, but 2"),
        ('{"a":\n{"b": 1}', "0.json: is no whole JSON"),
        ('[{"a": 1}', "0.json: is no whole JSON"),
        ("[]", "0.json: holds no rows"),
        ("{}\n{}", "0.json: holds no rows"),
        ('{"a":' * 3000, "0.json: line 1 is nested deeper than 60 levels"),
    ],
)
def test_what_is_no_json_is_named_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        rows(tmp_path, content)
    assert "\n" not in str(caught.value)


def test_more_rows_than_a_batch_keep_their_order(tmp_path: Path) -> None:
    found = rows(tmp_path, "\n".join(f'{{"a": {number}}}' for number in range(2500)))
    assert [row["a"] for row in found] == list(range(2500))


def test_the_temporary_file_goes_with_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n')
    found = read_rows(str(tmp_path / "a.jsonl"))
    assert list((tmp_path / "scratch").iterdir())
    del found
    assert not list((tmp_path / "scratch").iterdir())
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a"')
    with pytest.raises(SourceError):
        read_rows(str(tmp_path / "a.jsonl"))
    assert not list((tmp_path / "scratch").iterdir())


def test_json_of_the_hub_is_read_alike(tmp_path: Path) -> None:
    """A folder stands for a repository: ``datasets`` finds files and splits of both in the same way."""
    (tmp_path / "train.jsonl").write_text('{"sku": "000116", "day": "2026-01-01"}\n{"sku": 412, "day": ""}\n')
    (tmp_path / "test.jsonl").write_text('{"sku": "7", "day": "2026-01-02"}\n')
    assert list(_read_hub(str(tmp_path), None)) == [
        {"sku": "000116", "day": "2026-01-01"},
        {"sku": "412", "day": ""},
    ]
    assert list(_read_hub(str(tmp_path), "test")) == [{"sku": "7", "day": "2026-01-02"}]
    assert list(_read_hub(str(tmp_path), "train[1:]")) == [{"sku": "412", "day": ""}]
    with pytest.raises(SourceError, match=r"no split 'dev'.*train, test"):
        _read_hub(str(tmp_path), "dev")
