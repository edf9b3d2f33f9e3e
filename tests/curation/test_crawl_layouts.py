"""What img2dataset and MUGE write, as sources of a data set."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import draw, file_bytes
from tests.regions.importers.writers import tar

from interbert.curation.build import build_dataset
from interbert.curation.image_options import ImageOptions
from interbert.curation.recipe import DatasetRecipe
from interbert.curation.shards_of_source import list_shards
from interbert.curation.title_rules import TitleOptions
from interbert.errors import SourceError, UsageError

COLOURS = ("red", "green", "blue")


def image(colour: str) -> bytes:
    return file_bytes(draw(colour, "square", (20, 20)))


def rows_of(source: Path, split: str | None = None) -> list[dict[str, Any]]:
    found = []
    for shard in list_shards(str(source), split):
        rows = shard.read().rows
        found += [rows[row] for row in range(len(rows))]
    return found


def downloaded(folder: Path, number: str, table: bool = True) -> None:
    """A shard of img2dataset: the second address failed, and has no sample."""
    members, records = [], []
    for place, colour in enumerate(COLOURS):
        key, failed = f"{number}{place:04d}", place == 1
        record = {
            "url": f"https://shop.example/{colour}.jpg",
            "caption": f"{colour} square",
            "key": key,
            "status": "failed_to_download" if failed else "success",
            "error_message": "HTTP Error 404" if failed else None,
            "width": None if failed else 20,
        }
        records.append(record)
        if not failed:
            text = json.dumps(record).encode()
            members += [
                (f"{key}.jpg", image(colour)),
                (f"{key}.json", text),
                (f"{key}.txt", f"{colour} square".encode()),
            ]
    tar(folder / f"{number}.tar", members)
    (folder / f"{number}_stats.json").write_text("{}")
    if table:
        pq.write_table(pa.Table.from_pylist(records), folder / f"{number}.parquet")


def test_addresses_that_failed_are_rows_of_img2datasets_output(tmp_path: Path) -> None:
    for number in ("00000", "00001"):
        downloaded(tmp_path, number)
    rows = rows_of(tmp_path)
    assert [row["key"] for row in rows] == [f"{n:05d}{place:04d}" for n in range(2) for place in range(3)]
    assert [row["status"] for row in rows[:3]] == ["success", "failed_to_download", "success"]
    assert rows[2]["image"] == image("blue")
    assert rows[2]["caption"] == "blue square"
    assert rows[1]["error_message"] == "HTTP Error 404"
    assert rows[1]["image"] == {"problem": "there is no such sample beside the table"}
    assert rows_of(tmp_path / "*.tar") == rows_of(tmp_path / "*0*") == rows


def test_a_build_counts_what_could_not_be_downloaded(tmp_path: Path) -> None:
    (tmp_path / "crawl").mkdir()
    downloaded(tmp_path / "crawl", "00000")
    options = {"title_rules": TitleOptions(language="en"), "image_rules": ImageOptions(least_side=None, blank=None)}
    report = build_dataset(DatasetRecipe(str(tmp_path / "crawl"), str(tmp_path / "out"), workers=1, **options)).counts
    assert report["columns"] | {"title": "caption", "id": "key", "status": "status"} == report["columns"]
    assert (report["kept"], report["rules"]["download_failed"]["dropped"]) == (2, 1)
    (only,) = pq.read_table(tmp_path / "out" / "dropped.parquet").to_pylist()
    assert (only["id"], only["detail"]) == ("000000001", "failed_to_download: HTTP Error 404")
    (url,) = {row["url"] for row in pq.read_table(tmp_path / "out" / "train-00000.parquet").to_pylist()[:1]}
    assert url == "https://shop.example/red.jpg"


def test_without_its_table_a_sample_says_where_it_is_from(tmp_path: Path) -> None:
    downloaded(tmp_path, "00000", table=False)
    rows = rows_of(tmp_path)
    assert [(row["url"], row["status"]) for row in rows] == [
        ("https://shop.example/red.jpg", "success"),
        ("https://shop.example/blue.jpg", "success"),
    ]


def test_a_cut_tar_keeps_the_rows_of_its_table(tmp_path: Path) -> None:
    downloaded(tmp_path, "00000")
    file = tmp_path / "00000.tar"
    file.write_bytes(file.read_bytes()[:3000])
    rows = rows_of(tmp_path)
    assert [type(row["image"]) for row in rows] == [bytes, dict, dict, dict]
    assert "cut off" in rows[3]["image"]["problem"]
    assert [row["caption"] for row in rows] == ["red square", "green square", "blue square", None]


def test_folders_of_images_are_read_with_their_tables(tmp_path: Path) -> None:
    downloaded(tmp_path, "00000")
    (tmp_path / "00000.tar").unlink()
    (tmp_path / "00000").mkdir()
    (tmp_path / "00000" / "000000000.jpg").write_bytes(image("red"))
    rows = rows_of(tmp_path)
    assert rows[0]["image"] == "00000/000000000.jpg"
    assert [row["status"] for row in rows] == ["success", "failed_to_download", "success"]
    assert "problem" in rows[2]["image"]


def muge(folder: Path, split: str) -> None:
    lines = [f"{100 + n}\t{base64.urlsafe_b64encode(image(colour)).decode()}" for n, colour in enumerate(COLOURS)]
    (folder / f"{split}_imgs.tsv").write_text("\n".join(lines))
    texts = [
        {"text_id": 1, "text": "红色方块", "image_ids": [100]},
        {"text_id": 2, "text": "方块", "image_ids": [101, 100, 999]},
        {"text_id": 3, "text": "没有图片", "image_ids": []},
    ]
    (folder / f"{split}_texts.jsonl").write_text("\n".join(json.dumps(text, ensure_ascii=False) for text in texts))


def test_muges_texts_are_rows_with_each_of_their_images(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        muge(tmp_path, split)
    rows = rows_of(tmp_path, "valid")
    assert [(row["text_id"], row["title"], row["image_id"]) for row in rows] == [
        ("1", "红色方块", "100"),
        ("2", "方块", "101"),
        ("2", "方块", "100"),
        ("2", "方块", None),
        ("3", "没有图片", None),
        (None, None, "102"),
    ]
    assert [row["image"] for row in rows[:3]] == [image("red"), image("green"), image("red")]
    assert rows[3]["image"] == {"problem": "there is no image '999'"}
    assert rows[5]["image"] == image("blue")
    with pytest.raises(SourceError, match="has no split 'test'; name one with --split: train, valid"):
        rows_of(tmp_path, "test")


def test_a_data_set_in_its_own_source_is_refused(tmp_path: Path) -> None:
    muge(tmp_path, "train")
    with pytest.raises(UsageError, match="lies in the source"):
        build_dataset(DatasetRecipe(str(tmp_path), str(tmp_path / "out"), workers=1))
    assert not (tmp_path / "out").exists()
