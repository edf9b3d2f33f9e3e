"""What a build promises around its result: another image, a lost file, a changed set, and what it says of itself."""

from __future__ import annotations

import io
import json
import logging
import os
import tarfile
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.conftest import file_bytes
from tests.curation.test_dataset_build import contents, crawl, dropped, photo, recipe, rows_of, titles

from interbert.cli.main import main
from interbert.curation import build, reporting
from interbert.curation.build import build_dataset
from interbert.curation.card import CardOptions
from interbert.curation.image_options import ImageOptions
from interbert.curation.judging import JudgeSettings
from interbert.curation.set_join import PartKeys, pairs_beyond
from interbert.curation.title_rules import TitleOptions
from interbert.errors import ConfigError, DataError, SourceError, UsageError
from interbert.extraction.sources import open_source


def report(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "report.json").read_text())
    return found


def plain(count: int, **more: Any) -> list[dict[str, Any]]:
    """Rows of titles alone."""
    return [{"item": n, "title": title, **more} for n, title in enumerate(titles(count))]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return crawl(tmp_path / "crawl.parquet", plain(12))


def test_an_image_that_is_another_one_after_it_was_judged_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = "\n".join(f"{n},{title},{n}.jpg" for n, title in enumerate(titles(3)))
    (tmp_path / "crawl.csv").write_text(f"item,title,image\n{named}\n", encoding="utf-8")
    for n in range(3):
        (tmp_path / f"{n}.jpg").write_bytes(photo(n))
    judge = build._Build._judge

    def replaced(*given: Any) -> None:
        judge(*given)
        (tmp_path / "0.jpg").write_bytes(photo(9))

    monkeypatch.setattr(build._Build, "_judge", replaced)
    asked = recipe(tmp_path / "crawl.csv", tmp_path / "out")
    with pytest.raises(DataError, match=r"crawl\.csv, row 0: its image is another one than when it was judged"):
        build_dataset(asked)
    monkeypatch.undo()
    (tmp_path / "0.jpg").write_bytes(photo(0))
    build_dataset(asked)
    assert {row["image"]["bytes"] for row in rows_of(tmp_path / "out")} == {photo(n) for n in range(3)}


def test_a_build_that_was_killed_while_it_removed_its_own_folder_is_complete(source: Path, tmp_path: Path) -> None:
    def killed(folder: Path) -> None:
        (folder / "state.json").unlink()
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("interbert.curation.progress.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            build_dataset(recipe(source, tmp_path / "out"))
    assert build_dataset(recipe(source, tmp_path / "out")).already
    assert not [name for name in os.listdir(tmp_path / "out") if name.startswith(".")]


def test_files_that_were_lost_or_cut_are_made_again(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    build_dataset(recipe(source, out, shard_rows=5))
    before = contents(out)
    (out / "train-00000.parquet").unlink()
    (out / "report.json").unlink()
    (out / "train-00001.parquet").write_bytes(b"PAR1")
    with caplog.at_level(logging.WARNING):
        assert not build_dataset(recipe(source, out, shard_rows=5)).already
    assert "report.json, train-00000.parquet, train-00001.parquet missing or cut" in caplog.text
    assert contents(out) == before


@pytest.mark.parametrize("named", ["folder", "file", "words"])
def test_what_the_recipe_names_is_known_by_its_content(named: str, source: Path, tmp_path: Path) -> None:
    first = tmp_path / "held" / "a.jsonl"
    first.parent.mkdir()
    (tmp_path / "held" / "p.jpg").write_bytes(photo(5))
    first.write_text(json.dumps({"title": titles(13)[12], "image": "p.jpg"}) + "\n", encoding="utf-8")
    (tmp_path / "words.txt").write_text("锅\n", encoding="utf-8")
    options = {
        "folder": {"exclude": [str(tmp_path / "held" / "*.jsonl")]},
        "file": {"exclude": [str(first)]},
        "words": {"title_rules": TitleOptions(block_list=str(tmp_path / "words.txt"))},
    }[named]
    changed = {"folder": tmp_path / "held" / "b.jsonl", "file": first, "words": tmp_path / "words.txt"}[named]
    build_dataset(recipe(source, tmp_path / "out", **options))
    assert build_dataset(recipe(source, tmp_path / "out", **options)).already
    other = json.dumps({"title": titles(14)[13], "image": "p.jpg"}) + "\n"
    changed.write_text("杯\n" if named == "words" else other, encoding="utf-8")
    option = "title_rules.block_list" if named == "words" else "exclude.0"
    with pytest.raises(UsageError, match=f"another files.{option}"):
        build_dataset(recipe(source, tmp_path / "out", **options))
    manifest = (tmp_path / "out" / "manifest.json").read_text()
    assert str(tmp_path) not in manifest
    assert "promotional_words_zh.txt" in json.loads(manifest)["word_lists"]


def test_another_model_at_the_same_path_is_another_recipe(source: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("interbert.search.index_model.model_fingerprint", lambda path: "one")
        patch.setattr("interbert.curation.comparing.disagreeing_rows", lambda *given: {})
        build_dataset(recipe(source, tmp_path / "out", model="model"))
        patch.setattr("interbert.search.index_model.model_fingerprint", lambda path: "other")
        with pytest.raises(UsageError, match=r"another files\.model"):
            build_dataset(recipe(source, tmp_path / "out", model="model"))


def test_files_that_have_the_name_of_an_option_do_not_matter(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_dataset(recipe(source, tmp_path / "out"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zh").write_text("a file")
    assert build_dataset(recipe(source, tmp_path / "out")).already


def test_a_list_of_words_that_is_missing_is_found_before_the_source_is_read(tmp_path: Path) -> None:
    rules = TitleOptions(block_list=str(tmp_path / "none.txt"))
    with pytest.raises(ConfigError, match=r"none\.txt: the list of words cannot be read"):
        build_dataset(recipe(tmp_path / "no source", tmp_path / "out", title_rules=rules))


def test_the_card_is_written_anew_where_the_source_and_the_versions_are_gone(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_dataset(recipe(source, tmp_path / "out"))
    source.unlink()
    monkeypatch.setattr(build, "__version__", "99")
    assert build_dataset(recipe(source, tmp_path / "out", card=CardOptions(license="cc0-1.0"))).already
    assert "license: cc0-1.0" in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(SourceError):  # of another recipe it would describe what is not there
        build_dataset(recipe(source, tmp_path / "out", card=CardOptions(license="other"), shard_rows=7))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tar_shards_hold_dates_in_lists_and_numbers_that_are_none(tmp_path: Path) -> None:
    more = {"sold": [date(2024, 5, 1)], "sizes": {"wide": float("nan"), "high": b"\xff"}, "price": float("inf")}
    source = crawl(tmp_path / "crawl.parquet", plain(3, **more))
    build_dataset(recipe(source, tmp_path / "out", format="webdataset"))
    assert b"NaN" not in (data := next((tmp_path / "out").glob("*.tar")).read_bytes())
    assert b'"sold": ["2024-05-01"], "sizes": {"high": "b\'\\\\xff\'", "wide": null}, "price": null' in data.replace(
        b'{"wide": null, "high": "b\'\\\\xff\'"}', b'{"high": "b\'\\\\xff\'", "wide": null}'
    )


def test_what_is_flagged_or_stripped_counts_of_kept_rows_alone(tmp_path: Path) -> None:
    rows = [{"title": "全网销量第一保温杯"}, {"title": "正品包邮全网销量第一电饭锅 电话13812345678"}]
    build_dataset(recipe(crawl(tmp_path / "c.parquet", rows), tmp_path / "out", id_column=None))
    rules = report(tmp_path / "out")["rules"]
    assert rules["contact"]["dropped"] == rules["superlative"]["flagged"] == 1
    assert rules["promotional_word"]["stripped"] == 0


def test_more_categories_than_a_report_holds_are_counted_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "_MOST_CATEGORIES", 2)
    rows = [row | {"category": "abccc"[n % 5] * 300} for n, row in enumerate(plain(10))]
    build_dataset(recipe(crawl(tmp_path / "c.parquet", rows), tmp_path / "out"))
    found = report(tmp_path / "out")
    assert found["categories"] == {"a" * 200: 2, "c" * 200: 6}
    assert found["categories_left_out"] == {"categories": 1, "rows": 2}


def test_no_path_of_this_machine_is_published(tmp_path: Path) -> None:
    named = [f"{tmp_path / 'away'}/{n}.jpg" for n in range(2)]
    (tmp_path / "a").mkdir()
    lines = [f"{n},{title},{image}" for n, (title, image) in enumerate(zip(titles(3), [*named, "2.jpg"], strict=True))]
    (tmp_path / "a" / "a.csv").write_text("\n".join(["item,title,image", *lines]), encoding="utf-8")
    (tmp_path / "a" / "2.jpg").write_bytes(photo(2))
    crawl(tmp_path / "a" / "b.csv", []).write_bytes(b"\x00\xff")
    (tmp_path / "held.txt").write_text("保温杯", encoding="utf-8")
    build_dataset(
        recipe(str(tmp_path / "a" / "*.csv"), tmp_path / "out", exclude=[str(tmp_path / "held.txt")])  # type: ignore[arg-type]
    )
    assert [row["rule"] for row in dropped(tmp_path / "out")] == ["image_missing"] * 2 + ["shard_unreadable"]
    for file in (tmp_path / "out").rglob("*"):
        if file.is_file():
            content = pq.read_table(file).to_pylist() if file.suffix == ".parquet" else file.read_bytes()
            assert str(tmp_path) not in str(content), file.name


def test_groups_of_one_row_are_no_near_duplicates_on_the_card(tmp_path: Path) -> None:
    rows = plain(4)
    rows.append(rows[0] | {"item": 9, "title": rows[0]["title"] + "新"})
    build_dataset(recipe(crawl(tmp_path / "c.parquet", rows), tmp_path / "out"))
    assert "There are 1 groups of two rows or more" in (tmp_path / "out" / "README.md").read_text()


def test_a_rule_that_cannot_only_flag_is_refused() -> None:
    with pytest.raises(ConfigError, match="image_placeholder cannot be"):
        replace(ImageOptions(), only_flagged=type(ImageOptions().only_flagged)(["image_placeholder"]))


def test_what_near_titles_may_miss_is_counted_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [*plain(3), {"item": 9, "title": "".join(chr(0x4E00 + n) for n in range(300))}]
    source = crawl(tmp_path / "c.parquet", rows)
    options = ["--workers", "1", "--title-rules.max-characters", "400"]
    assert main(["dataset", "build", str(source), str(tmp_path / "out"), *options]) == 0
    assert report(tmp_path / "out")["near_titles_by_chance"] == {"pairs": 0, "long_titles": 1}
    assert "1 long titles: their near-duplicates may not all be found" in capsys.readouterr().out


def test_pairs_beyond_the_window_count_unless_they_are_connected() -> None:
    keys = PartKeys(np.arange(2, 13), np.array([[7]] * 9 + [[8]] * 2, np.uint32))
    assert pairs_beyond(keys, 4, np.arange(13)) == 15  # of 36 pairs of neighbours 8 + 7 + 6 are compared
    assert pairs_beyond(keys, 4, np.zeros(13, np.int64)) == 0
    assert pairs_beyond(keys, 4, np.array([0] * 10 + [1] * 3)) == 8  # one of the nine is apart


def test_workers_of_a_cluster_need_no_list_of_words_at_its_path(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, judged = tmp_path / "words.txt", build.judged_chunks
    words.write_text("电饭锅\n保温杯\n", encoding="utf-8")

    def elsewhere(settings: JudgeSettings, cells: Any, workers: int, ray: bool) -> Any:
        assert ray
        words.unlink()
        return judged(settings, cells, 1)

    monkeypatch.setattr(build, "judged_chunks", elsewhere)
    rules = TitleOptions(block_list=str(words))
    build_dataset(recipe(source, tmp_path / "out", title_rules=rules, ray=True))
    assert [row["rule"] for row in dropped(tmp_path / "out")] == ["blocked_word", "blocked_word"]


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000"])
def test_tar_shards_name_images_by_their_bytes(kind: str, tmp_path: Path) -> None:
    image = Image.open(io.BytesIO(photo(3)))
    rows = [row | {"image": file_bytes(image, kind)} for row in plain(1)]
    rules = ImageOptions(formats=type(ImageOptions().formats)(["AVIF", "JPEG2000"]))
    source = crawl(tmp_path / "c.parquet", rows)
    build_dataset(recipe(source, tmp_path / "out", format="webdataset", image_rules=rules))
    (shard,) = (tmp_path / "out").glob("*.tar")
    with tarfile.open(shard) as tar:
        assert tar.getnames()[0] == f"0000000000{'.avif' if kind == 'AVIF' else '.jp2'}"
    assert [item.data for item in open_source(str(shard))] == [rows[0]["image"]]


def test_images_of_evaluation_sets_that_could_not_be_read_are_said(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = [{"title": title, "image": b"%d" % n if n else photo(1)} for n, title in enumerate(titles(24)[12:])]
    test = crawl(tmp_path / "test.parquet", held)
    assert main(["dataset", "build", str(source), str(tmp_path / "out"), "--workers", "1", "--exclude", str(test)]) == 0
    said = capsys.readouterr().out
    assert said.count("cannot be read as an image") == 10
    assert "not looked for: 1 further images of evaluation sets, see report.json" in said


def test_one_chunk_is_judged_by_one_process(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    judged = build.judged_chunks
    monkeypatch.setattr(build, "judged_chunks", lambda *given: asked.append(given[2]) or judged(*given))
    build_dataset(recipe(source, tmp_path / "out", workers=None))
    assert asked == [1]
