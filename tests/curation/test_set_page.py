import json

import pytest
from tests.curation.finished_set import EVIL, ROWS, finished_set, load

from interbert.curation.page import histogram, write_page
from interbert.curation.samples import KEPT, PER_RULE, read_samples, write_samples
from interbert.errors import DataError, UsageError


@pytest.fixture
def folder(tmp_path):
    return finished_set(tmp_path / "set")


def by_kind(samples, kind):
    return [one for one in samples if one.kind == kind]


@pytest.mark.parametrize("suffix", [".parquet", ".tar"])
def test_samples_are_a_few_rows_of_each_rule_and_some_that_were_kept_with_their_images(tmp_path, suffix):
    folder = finished_set(tmp_path / "set", suffix)
    samples = write_samples(folder, load)
    assert samples == read_samples(folder)
    assert [one.rule for one in by_kind(samples, "dropped")] == ["image_unreadable"] + ["title_too_short"] * PER_RULE
    assert len({one.row for one in by_kind(samples, "dropped")}) == PER_RULE + 1
    flagged = by_kind(samples, "flagged")
    assert {one.id for one in flagged} == {row["id"] for row in ROWS[1:12:2]}
    assert {one.rule for one in flagged} == {"superlative"}
    kept = by_kind(samples, "kept")
    assert {one.id for one in kept} == {row["id"] for row in ROWS[: min(KEPT, 12)]}
    assert all(one.title_raw == f"正品 {one.title}" for one in kept)
    assert [one.rule for one in samples if one.image is None] == ["image_unreadable"]
    files = {one.name for one in (folder / "samples").iterdir()}
    assert files == {one.image for one in samples if one.image} | {"samples.json"}
    assert all((folder / "samples" / name).read_bytes()[:2] == b"\xff\xd8" for name in files - {"samples.json"})


def test_the_same_data_set_has_the_same_samples_and_page(folder, tmp_path):
    (tmp_path / "other").mkdir()
    other = finished_set(tmp_path / "other" / "set")
    for one in (folder, other):
        write_samples(one, load)
        write_page(one)
    assert (folder / "samples/samples.json").read_bytes() == (other / "samples/samples.json").read_bytes()
    assert (folder / "index.html").read_bytes() == (other / "index.html").read_bytes()


def test_the_page_has_counts_examples_and_their_images_and_nothing_in_it_acts(folder):
    write_samples(folder, load)
    write_page(folder)
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert EVIL not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert page.count("data:image/jpeg") == 6 + 6 + 12
    for rule in ("title_too_short", "superlative", "promotional_word"):
        assert f">{rule}<" in page
    assert "No row met <code>image_blank</code>" in page
    assert 'style="width:100.00%"' in page
    assert "7 characters: 12 rows" in page
    assert 'dir="auto">circle</th>' in page
    assert "/home/somebody" not in page


def test_a_page_without_samples_says_so(folder):
    write_page(folder)
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "No examples were kept" in page
    assert "data:image" not in page


def test_many_lengths_share_bars():
    bars = histogram(dict.fromkeys(range(4, 254), 1))
    assert len(bars) <= 80
    assert sum(bar.count for bar in bars) == 250
    assert bars[0].name == "4 to 7"
    assert histogram({}) == []


def test_what_is_no_finished_data_set_is_named(folder, tmp_path):
    with pytest.raises(DataError, match=r"manifest\.json: cannot be read .* Build the data set with"):
        write_page(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][0]["file"] = "../train-00000.parquet"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"'\.\./train-00000\.parquet' of split 'train' is no shard"):
        write_page(folder)


def test_a_file_that_is_no_page_is_not_replaced(folder):
    (folder / "index.html").write_text("my notes")
    with pytest.raises(UsageError, match="is not an HTML page"):
        write_page(folder)
