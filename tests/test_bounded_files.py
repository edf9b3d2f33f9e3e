"""Files of others within limits: each reader is given a harmless file beyond one, and says so in one line."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from interbert.adaptation.maps import image_maps
from interbert.checkpoints.foreign_files import require_own_files
from interbert.data import file_lines
from interbert.data.qrels import Qrels
from interbert.demo.catalogue import prepare_openmoji
from interbert.demo.page import read_outcomes
from interbert.errors import DataError, InterBertError
from interbert.extraction.frcnn.config import read_port_config
from interbert.extraction.given import read_boxes
from interbert.extraction.tables import read_rows
from interbert.model.modeling import write_cross_encoder_files
from interbert.regions.caption_files import read_captions
from interbert.regions.commits import read_skipped
from interbert.regions.importers.fields import json_from
from interbert.regions.importers.kdd_tsv import _answers
from interbert.regions.importers.sizes import SizeIndex
from interbert.regions.importers.vinvl_tsv import _labels
from interbert.report.charts import read_log
from interbert.report.runs import read_run
from interbert.search.manifest import Manifest
from interbert.topics.pages import read_pages
from interbert.topics.topic_file import read_topics
from interbert.training.run_setup import claim_folder, claim_regions
from interbert.utils import bounded_files
from interbert.utils.bounded_files import is_deeper, json_value, read_json
from interbert.utils.files import RETRIEVAL_METRICS, require_replaceable

DEEP = "[" * 800 + "]" * 800


def test_levels_are_counted() -> None:
    assert json_value("[" * 60 + "]" * 60)
    for levels in (61, 900, 100_000):
        with pytest.raises(ValueError, match="deeper than 60 levels"):
            json_value("[" * levels + "]" * levels)
    assert not is_deeper("text", 0)
    assert is_deeper([], 0)


def test_signs_inside_of_texts_are_no_values() -> None:
    signs = r",[{\", " * 300_000
    assert json_value(json.dumps({"a": signs, "b": ["\\"]})) == {"a": signs, "b": ["\\"]}
    for whole in (
        f"[{json.dumps(signs)}{',{}' * 1_000_001}]",
        '{"' + '",' * 2_000_001,
        '"' + r"\"," * 1_000_001 + "\\",
    ):
        with pytest.raises(
            ValueError, match=r"more than 1,000,000 values|Unterminated string|delimiter|Expecting|escape"
        ):
            json_value(whole)
    with pytest.raises(ValueError, match="more than 1,000,000 values"):
        json_value("[" + '"a",' * 1_000_001 + "1]")
    assert json_value("[1]".encode("utf-16")) == [1]


def test_values_and_bytes_are_counted(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="more than 1,000,000 values"):
        json_value("[" + "{}," * 1_000_001 + "1]")
    file = tmp_path / "x.json"
    file.write_text('["123456789"]')
    assert read_json(file, 13) == ["123456789"]
    with pytest.raises(ValueError, match="more than 12 bytes"):
        read_json(file, 12)


def _topics(file: Path) -> object:
    return read_topics(file)


CASES: dict[str, tuple[str, str, Callable[[Path], object], str]] = {
    "caption's id": ("c.jsonl", f'{{"image_id": {DEEP}, "caption": "a"}}', lambda f: list(read_captions(f)), "deeper"),
    "caption's text": ("c.json", f'[{{"image_id": 1, "caption": {DEEP}}}]', lambda f: list(read_captions(f)), "deeper"),
    "caption's header": ("c.csv", f"image,text{'x' * 1_100_000}\n1,a", lambda f: list(read_captions(f)), "field limit"),
    "caption's columns": ("c.csv", "," * 10_001, lambda f: list(read_captions(f)), "more than 10,000 columns"),
    "caption's product": (
        "c.jsonl",
        json.dumps({"item_ids": [*range(400)], "captions": [str(one) for one in range(300)]}),
        lambda f: list(read_captions(f)),
        "300 texts of 400 images",
    ),
    "topic": ("t.jsonl", f'{{"text": "a", "x": {DEEP}}}', _topics, "line 1: is no JSON .it is nested deeper"),
    "topic's line": ("t.jsonl", "x" * 100_001, _topics, "line 1: is more than 100,000 characters long"),
    "topic's names": ("t.jsonl", json.dumps({"x" * 9000: 1}), _topics, "has no text in 'text'. It has: x{57}"),
    "judgement's columns": ("q.csv", "," * 10_001 + "\n", Qrels.read, "has 10,002 columns"),
    "judgement's values": ("q.jsonl", f'{{"query": "a", "x": {DEEP}}}', Qrels.read, "row 1: it is nested deeper"),
    "judgement's text": ("q.tsv", f"query\tproduct_id\n{'x' * 100_001}\t1\n", Qrels.read, "row 2: has a text or an id"),
    "detector's settings": ("c.yaml", f"a: {DEEP}", read_port_config, "is nested too deeply"),
    "detector's bytes": ("c.yaml", "a: " + "x" * 1_100_000, read_port_config, "has more than 1,048,576 bytes"),
    "index": ("i.json", DEEP, lambda f: Manifest.from_json(f.read_text(), str(f)), "does not say how it was built"),
    "boxes": ("b.json", DEEP, lambda f: read_boxes(f.read_text(), "xyxy", (5, 5), str(f)), "are no JSON list"),
    "run": ("recipe.json", f'{{"x": {DEEP}}}', lambda f: read_run(f.parent), "recipe.json: is damaged .it is nested"),
    "topic pages": ("topics.json", DEEP, lambda f: read_pages(f.parent), "is damaged .it is nested"),
    "metrics": ("m.json", DEEP, lambda f: require_replaceable(f, RETRIEVAL_METRICS), "is not metrics of retrieval"),
    "saved data set": ("dataset_info.json", DEEP, lambda f: read_rows(str(f.parent)), "no JSON of names .it is nested"),
    "rows": ("r.jsonl", f'{{"a": {DEEP}}}', lambda f: read_rows(str(f)), "line 1 is nested deeper than 60 levels"),
    "sizes": ("s.json", f'[{{"id": {DEEP}}}]', lambda f: SizeIndex(str(f)), "an id, a width and a height are needed"),
    "labels": ("l.json", DEEP, lambda f: _labels(f), "is neither JSON with label_to_idx"),
    "answers": ("a.json", DEEP, lambda f: _answers(f), "is no JSON of query ids"),
    "import's record": ("r.tsv", DEEP, lambda f: json_from(f.read_bytes(), str(f)), "is no id and JSON"),
    "log": ("log_history.jsonl", f'{{"a": {DEEP}}}\n', read_log, "line 1: is no log entry .it is nested"),
    "model": (
        "config.json",
        f'{{"x": {DEEP[700:-700]}}}',
        lambda f: require_own_files(f.parent),
        "config.json: it is nested",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_beyond_a_limit_is_one_line_that_names_it(tmp_path: Path, case: str) -> None:
    name, content, read, reason = CASES[case]
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(InterBertError, match=reason) as caught:
        read(file)
    assert name in str(caught.value)
    assert len(str(caught.value)) < 700
    assert "\n" not in str(caught.value)


OWN: dict[str, tuple[str, Callable[[Path], object]]] = {
    "run's settings": ("recipe.json", lambda f: claim_folder(f.parent, {})),
    "run's regions": ("regions.json", lambda f: claim_regions(f.parent, None)),  # type: ignore[arg-type]
    "cross-encoder": ("config.json", lambda f: write_cross_encoder_files(f.parent)),
    "backbone's images": ("images.json", lambda f: image_maps(None, None, None, f.parent, "")),  # type: ignore[arg-type]
    "skipped": ("skipped.jsonl", lambda f: read_skipped(f.parent)),
    "demo's images": ("openmoji.json", lambda f: prepare_openmoji(f.parent)),
    "demo's results": ("results.json", read_outcomes),
}
"""What our own commands wrote and read again: the file's name, and its reader."""


@pytest.mark.parametrize("content", [DEEP, '{"a": ', '{"b": 1}', "[1]", "7", "\xff"], ids=lambda text: text[:8])
@pytest.mark.parametrize("case", OWN)
def test_a_damaged_file_of_our_own_is_one_line_that_names_it_and_a_remedy(
    tmp_path: Path, case: str, content: str
) -> None:
    if (case, content) == ("demo's images", '{"b": 1}'):
        pytest.skip("no damage: of other settings, so the images are drawn anew")
    name, read = OWN[case]
    file = tmp_path / name
    for other in ("finished.json", *(f"{split}.parquet" for split in ("train", "validation", "test"))):
        (tmp_path / other).write_text("{}")
    file.write_bytes((content + "\n").encode("latin-1"))
    with pytest.raises(InterBertError, match=r"is damaged \(|holds a run with other settings") as caught:
        read(file)
    assert str(caught.value).startswith((f"{file}: is damaged", f"{tmp_path}: holds a run"))
    assert str(caught.value).endswith(("again.", "folder.", "line.", "recipe.json)."))
    assert len(str(caught.value)) < 700
    assert "\n" not in str(caught.value)


def test_a_file_of_our_own_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"results.json: cannot be read \(No such file or directory\)"):
        read_outcomes(tmp_path / "results.json")


def test_repetitions_in_a_detectors_settings_are_counted_before_they_are_followed(tmp_path: Path) -> None:
    lines = ["a0: &a0 {k: x}"] + [f"a{n}: &a{n} {{k: *a{n - 1}, l: *a{n - 1}, m: *a{n - 1}}}" for n in range(1, 30)]
    (tmp_path / "config.yaml").write_text("\n".join(lines))
    with pytest.raises(InterBertError, match="more than 10,000 values"):
        read_port_config(tmp_path / "config.yaml")


@pytest.mark.parametrize("name", ["q.jsonl.gz", "q.tsv.gz", "q.csv.gz"])
def test_a_row_that_does_not_end_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(file_lines, "MAX_ROW", 1000)
    file = tmp_path / name
    with gzip.open(file, "wt") as stream:
        stream.write("query,product_id\n" if ".csv" in name else "")
        stream.write('"' + "some\n" * 500 if ".csv" in name else "x" * 2000)
    with pytest.raises(InterBertError, match=r"line \d+ belongs to has more than 1,000 characters"):
        Qrels.read(file)


def test_what_a_packed_file_holds_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "q.tsv.gz"
    with gzip.open(file, "wt") as stream:
        stream.write("query\tproduct_id\n" + "shoe\t1\n" * 10_000)
    assert len(Qrels.read(file)) == 1
    monkeypatch.setattr(file_lines, "_UNPACKED", 5000)
    monkeypatch.setattr(file_lines, "_UNPACKED_TIMES", 10)
    with pytest.raises(InterBertError, match=r"unpacks to more than 5,000 characters"):
        Qrels.read(file)


def test_a_vocabulary_is_no_larger_than_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interbert.checkpoints.foreign_files._LARGEST", 100)
    (tmp_path / "vocab.txt").write_text("x\n" * 51)
    with pytest.raises(InterBertError, match=r"vocab.txt: has 102 bytes"):
        require_own_files(tmp_path)


def test_sound_files_of_every_line_end_are_counted_as_editors_do(tmp_path: Path) -> None:
    file = tmp_path / "q.csv"
    file.write_bytes(b'query;product_id\r\n"two\r\nlines";1\r\nshoe;2;3\r\n')
    with pytest.raises(InterBertError, match=r"row 4: has 3 fields"):
        Qrels.read(file)
    assert bounded_files.MAX_LEVELS == 60


def test_a_captions_cell_has_its_limit_where_another_reader_raised_csvs_own(tmp_path: Path) -> None:
    before = csv.field_size_limit(1 << 24)
    try:
        test_a_file_beyond_a_limit_is_one_line_that_names_it(tmp_path, "caption's header")
    finally:
        csv.field_size_limit(before)
