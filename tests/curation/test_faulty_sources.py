"""Sources of several shards that differ, are damaged, or count their rows anew: nothing is lost without a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.curation.test_crawl_layouts import downloaded
from tests.curation.test_dataset_build import crawl, dropped, photo, products, rows_of, titles
from tests.regions.importers.writers import tar

from interbert.cli.main import main
from interbert.curation import chunks
from interbert.curation.build import build_dataset
from interbert.curation.image_options import ImageOptions
from interbert.curation.listing import list_source
from interbert.curation.recipe import DatasetRecipe
from interbert.curation.shards_of_source import OpenShards, list_shards
from interbert.curation.title_rules import TitleOptions
from interbert.errors import SourceError

ENGLISH: dict[str, Any] = {
    "title_rules": TitleOptions(language="en"),
    "image_rules": ImageOptions(least_side=None, blank=None),
}


def build(source: Path, out: Path, **more: Any) -> dict[str, Any]:
    return dict(build_dataset(DatasetRecipe(str(source), str(out), workers=1, **more)).counts)


def lines(count: int) -> list[str]:
    return [json.dumps({"item": n, "title": title}) for n, title in enumerate(titles(count))]


def indented(line: str) -> str:
    return json.dumps(json.loads(line), indent=2)


def test_of_a_cut_file_numbers_stay_as_they_are_written_and_an_object_is_no_table(tmp_path: Path) -> None:
    items = ("1.10", '"x"')
    rows = [f'{{"item": {item}, "title": "{title}"}}' for item, title in zip(items, titles(2), strict=True)]
    (tmp_path / "a.json").write_text(f"[{', '.join(rows)}, {{", encoding="utf-8")
    build(tmp_path / "a.json", tmp_path / "out", id_column="item")
    assert [row["id"] for row in rows_of(tmp_path / "out")] == ["1.10", "x"]
    (tmp_path / "b.json").write_text('{"info": {"title": "a"}, "images": [{"title": "b"}, {', encoding="utf-8")
    with pytest.raises(SourceError, match=r"b\.json"):
        build(tmp_path / "b.json", tmp_path / "of_object")


def test_images_are_found_in_a_later_shard(tmp_path: Path) -> None:
    rows = products(4)
    crawl(tmp_path / "a.parquet", [row | {"image": {"bytes": None, "path": None}} for row in rows[:2]])
    crawl(tmp_path / "b.parquet", [row | {"image": {"bytes": row["image"], "path": None}} for row in rows[2:]])
    report = build(tmp_path, tmp_path / "out" / "x")
    assert (report["columns"]["image"], report["kept"]) == ("image", 2)


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_ids_that_begin_anew_in_each_shard_join_no_rows(kind: str, tmp_path: Path) -> None:
    (tmp_path / "crawl").mkdir()
    named = titles(6)
    for shard in range(3):
        own = [(f"{n:06d}", named[2 * shard + n], photo(2 * shard + n)) for n in range(2)]
        if kind == "tar":
            files = [(f"{key}{end}", data) for key, t, i in own for end, data in ((".jpg", i), (".txt", t.encode()))]
            tar(tmp_path / "crawl" / f"{shard:05d}.tar", files)
        else:
            records = [{"id": key, "title": title, "image": image} for key, title, image in own]
            crawl(tmp_path / "crawl" / f"{shard:05d}.parquet", records)
    report = build(tmp_path / "crawl", tmp_path / "out", drop_near_duplicates=True)
    assert (report["kept"], report["groups"]) == (6, 6)
    ids = {row["title"]: row["id"] for row in rows_of(tmp_path / "out")}
    assert [ids[title] for title in named] == [
        *("000000", "000001", "00001/000000", "00001/000001", "00002/000000", "00002/000001")
    ]


def test_a_shops_status_is_not_that_of_a_download(tmp_path: Path) -> None:
    rows = [row | {"status": "on_sale", "url": "https://shop.example"} for row in products(4)]
    rows[3] |= {"image": None}
    report = build(crawl(tmp_path / "crawl.parquet", rows), tmp_path / "out")
    assert (report["kept"], report["rules"]["image_missing"]["dropped"]) == (3, 1)


def test_a_table_whose_tar_is_lost_is_read_and_other_files_are_named(tmp_path: Path) -> None:
    source = tmp_path / "crawl"
    source.mkdir()
    for number in ("00000", "00001"):
        downloaded(source, number)
    (source / "00001.tar").unlink()
    (source / "more").mkdir()
    for name in ("titles.csv", "more/b.parquet"):
        (source / name).write_text("x")
    report = build(source, tmp_path / "out", **ENGLISH)
    assert (report["rows"], report["files_passed_over"]) == (6, ["more/b.parquet", "titles.csv"])
    lost = [(row["id"], row["rule"]) for row in dropped(tmp_path / "out") if row["id"].startswith("00001")]
    assert lost == [
        ("000010000", "image_missing"),
        ("000010001", "download_failed"),
        ("000010002", "image_missing"),
    ]


CSV = "item,title\n" + "".join(f"{n},{title}\n" for n, title in enumerate(titles(4)))


@pytest.mark.parametrize(
    ("name", "content", "wrong"),
    [
        ("a.jsonl", "\n".join([*lines(3), lines(4)[3][:-9]]).encode(), "line 4 is no JSON"),
        ("a.json", f"[{', '.join(lines(3))}, {lines(4)[3][:-9]}".encode(), "element 3 and all behind it cannot be"),
        ("a.json", "\n".join([*map(indented, lines(3)), lines(4)[3][:-9]]).encode(), "element 3 and all behind it"),
        ("a.jsonl", "\n".join([*lines(2), "{]", *lines(4)[2:3]]).encode(), "line 3 is no JSON"),
        ("a.jsonl", "\n".join([*lines(3), '{"title": "红']).encode()[:-1], "line 4 is no text in UTF-8"),
        ("a.csv", (CSV.partition("\n3,")[0] + '\n3,"红').encode(), "line 5 cannot be read (unexpected end of data)"),
        ("a.csv", CSV.replace("\n3,", "\n3,a,b").encode(), "line 5 has 3 cells, the header 2"),
        ("a.tsv", CSV.replace(",", "\t").replace("\n3\t", "\n3\ta\tb").encode(), "line 5 has 3 cells, the header 2"),
    ],
)
def test_of_a_damaged_table_of_text_all_other_rows_are_read(
    name: str, content: bytes, wrong: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    report = build(tmp_path / name, tmp_path / "out", id_column="item")
    assert (report["rows"], report["kept"], report["shards_unreadable"]) == (4, 3, [name])
    (only,) = dropped(tmp_path / "out")
    assert (only["rule"], only["where"]) == ("shard_unreadable", f"{name}, row 3")
    assert only["detail"].startswith(wrong)
    assert [row["title"] for row in rows_of(tmp_path / "out")] == titles(3)


@pytest.mark.parametrize(
    "content", [CSV.replace("item", "\u4ef6").encode("gb18030"), b"{]\n" + CSV.encode("gb18030"), b""]
)
def test_a_table_without_a_header_that_can_be_read_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.csv: (is no text in UTF-8|the file is empty)"):
        build(tmp_path / "a.csv", tmp_path / "out")


def test_rows_of_a_damaged_parquet_file_are_counted_and_empty_shards_are_none(tmp_path: Path) -> None:
    crawl(tmp_path / "a.parquet", products(3))
    damaged = crawl(tmp_path / "b.parquet", products(7, first=3))
    content = bytearray(damaged.read_bytes())
    content[4:2000] = bytes(1996)
    damaged.write_bytes(content)
    pq.write_table(
        pa.table({"item": pa.array([], pa.int64()), "title": pa.array([], pa.string())}), tmp_path / "c.parquet"
    )
    report = build(tmp_path, tmp_path / "out" / "x")
    assert (report["rows"], report["kept"], report["shards_unreadable"]) == (10, 3, ["b.parquet"])
    assert report["rules"]["shard_unreadable"]["dropped"] == len(dropped(tmp_path / "out" / "x")) == 7


def test_img2datasets_table_without_rows_is_no_shard(tmp_path: Path) -> None:
    (tmp_path / "crawl").mkdir()
    for number in ("00000", "00001"):
        downloaded(tmp_path / "crawl", number)
    table = tmp_path / "crawl" / "00000.parquet"
    pq.write_table(pq.read_table(table).slice(0, 0), table)
    tar(tmp_path / "crawl" / "00000.tar", [])
    report = build(tmp_path / "crawl", tmp_path / "out", **ENGLISH)
    assert (report["rows"], report["kept"]) == (3, 2)


def samples(file: Path, fields: list[dict[str, Any]]) -> None:
    parts = [((f"{n}.jpg", photo(n)), (f"{n}.json", json.dumps(one).encode())) for n, one in enumerate(fields)]
    tar(file, [member for sample in parts for member in sample])


def test_fields_of_samples_are_columns_and_halves_of_emoji_stop_nothing(tmp_path: Path) -> None:
    named = titles(3)
    fields: list[dict[str, Any]] = [
        {"caption": named[0], "price": 9.5, "note": "\ud83d"},
        {"caption": named[1], "category": "鞋\ud83d", "sizes": [1]},
        {"caption": f"{named[2]}\ud83d"},
    ]
    samples(tmp_path / "crawl.tar", fields)
    report = build(tmp_path / "crawl.tar", tmp_path / "out")
    assert (report["columns"]["title"], report["kept"]) == ("caption", 2)
    found = {row["id"]: row for row in rows_of(tmp_path / "out")}
    assert [(row["price"], row["note"], row["sizes"], row["category"]) for row in (found["0"], found["1"])] == [
        ("9.5", "\ufffd", None, ""),
        (None, None, "[1]", "鞋\ufffd"),
    ]
    (only,) = dropped(tmp_path / "out")
    assert (only["rule"], only["title"]) == ("damaged_text", f"{named[2]}\ufffd")


def test_of_several_titles_the_others_stay_in_their_column(tmp_path: Path) -> None:
    named = titles(3)
    rows = [{"captions": named[:2]}, {"captions": named[2:]}]
    build(crawl(tmp_path / "crawl.parquet", rows), tmp_path / "out")
    assert {row["title"]: row["captions"] for row in rows_of(tmp_path / "out")} == {
        named[0]: named[:2],
        named[2]: named[2:],
    }


def test_a_column_that_is_read_is_not_named_as_left_out(tmp_path: Path) -> None:
    crawl(tmp_path / "a.parquet", [{"title": titles(1)[0], "size": [1]}])
    crawl(tmp_path / "b.parquet", [{"title": titles(2)[1:], "size": 1}])
    report = build(tmp_path, tmp_path / "out" / "x")
    assert list(report["columns_left_out"]) == ["size"]


@pytest.mark.parametrize("kept_as", ["bytes", "files"])
def test_chunks_have_fewer_rows_where_images_are_large(
    kept_as: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "BYTES", 4 * len(photo(1)))
    rows = products(9)
    if kept_as == "files":
        for row in rows:
            (tmp_path / f"{row['item']}.jpg").write_bytes(row["image"])
            row["image"] = f"{row['item']}.jpg"
    source = crawl(tmp_path / "crawl.parquet", rows)
    opened = OpenShards(list_shards(str(source)))
    listing = list_source(opened, DatasetRecipe(str(source), str(tmp_path / "out")))
    assert {chunk.rows for chunk in chunks.chunks_of(listing)[:-1]} <= {3, 4}


def test_the_command_takes_lists_of_formats_and_of_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = crawl(tmp_path / "crawl.parquet", products(2))
    command = ["dataset", "build", str(source), str(tmp_path / "out"), "--workers", "1"]
    lists = ["--image-rules.formats", "[PNG,JPEG]", "--image-rules.only-flagged", "[image_blank]"]
    assert main([*command, *lists]) == 0
    assert main([*command, "--image-rules.formats", "[jpg]"]) == 2
    assert "formats: jpg cannot be; those that are read are JPEG, PNG" in capsys.readouterr().err
