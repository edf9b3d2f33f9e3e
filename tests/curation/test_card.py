import json
import logging

import datasets
import mlcroissant
import pytest
import yaml
from huggingface_hub import DatasetCard
from tests.curation.finished_set import ROWS, SPLITS, finished_set

from interbert.curation.card import CardOptions, write_card
from interbert.curation.croissant import write_croissant
from interbert.errors import UsageError

NAMED = CardOptions("Shapes", "cc-by-4.0", "Drawn shapes.", "https://example.org/shapes", "A shop")


@pytest.fixture
def folder(tmp_path):
    return finished_set(tmp_path / "set")


def test_the_card_says_what_the_hub_reads_and_what_people_need(folder):
    assert write_card(folder, NAMED) == []
    card = DatasetCard.load(folder / "README.md")
    data = card.data.to_dict()
    assert (data["pretty_name"], data["license"], data["language"]) == ("Shapes", "cc-by-4.0", ["zh"])
    assert data["size_categories"] == ["n<1K"]
    files = data["configs"][0]["data_files"]
    assert files == [{"split": split, "path": f"{split}-*.parquet"} for split in SPLITS]
    for part in (
        "Drawn shapes.",
        "18 of 27 rows were kept",
        "| title\\_too\\_short | 8 | 0 | 0 |",
        "| train | 12 | 1 |",
    ):
        assert part in card.text
    assert "| price | double |" in card.text
    assert "/home/somebody" not in card.text


def test_datasets_reads_the_splits_that_the_card_names(folder, tmp_path):
    write_card(folder, NAMED)
    read = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {split: rows.num_rows for split, rows in read.items()} == {
        split: len(rows) for split, rows in SPLITS.items()
    }
    assert read["test"][0]["image"].size == (60, 80)


def test_a_card_without_a_licence_says_so_and_names_none(folder):
    missing = write_card(folder)
    assert [one.split(" (")[0] for one in missing] == ["the licence", "a description of where it is from"]
    header, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n")[1:3]
    assert "license" not in yaml.safe_load(header)
    assert "**No licence was named.**" in text


def test_a_card_that_somebody_wrote_is_not_replaced(folder):
    write_card(folder)
    write_card(folder, NAMED)
    (folder / "README.md").write_text("# My own words")
    with pytest.raises(UsageError, match="is not a card by"):
        write_card(folder, NAMED)


def checked(folder):
    """What mlcroissant makes of the file; it raises on errors, and logs what is not as it should be."""
    return mlcroissant.Dataset(str(folder / "croissant.json"))


def test_mlcroissant_validates_the_file_and_reads_every_record(folder, caplog):
    with caplog.at_level(logging.WARNING):
        write_croissant(folder, NAMED)
        found = checked(folder)
    assert "error" not in caplog.text.lower()
    assert "context" not in caplog.text
    assert found.metadata.name == "Shapes"
    for split, rows in SPLITS.items():
        records = list(found.records(split))
        assert [one[f"{split}/title"].decode() for one in records] == [row["title_zh"] for row in rows]
        assert [one[f"{split}/id"].decode() for one in records] == [row["id"] for row in rows]
        assert records[0][f"{split}/image"].size == (60, 80)
        assert records[0][f"{split}/price"] == 1.5
        assert [bool(one[f"{split}/sale"]) for one in records[:2]] == [True, False]
    assert [list(map(bytes.decode, one["train/flags"])) for one in found.records("train")][:2] == [[], ["superlative"]]


def test_every_shard_is_there_with_its_digest(folder):
    write_croissant(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    written = json.loads((folder / "croissant.json").read_text(encoding="utf-8"))
    files = [one for one in written["distribution"] if one["@type"] == "cr:FileObject"]
    assert {one["contentUrl"]: one["sha256"] for one in files} == {
        one["file"]: one["sha256"] for one in manifest["shards"]
    }
    assert "license" not in written


def test_titles_of_tar_files_are_records_too(tmp_path, monkeypatch):
    cache = mlcroissant._src.core.path.epath.Path(tmp_path / "cache")
    monkeypatch.setattr("mlcroissant._src.operation_graph.operations.extract.EXTRACT_PATH", cache)  # else at home
    folder = finished_set(tmp_path / "tars", ".tar")
    write_croissant(folder, NAMED)
    titles = [one["test/title"].decode() for one in checked(folder).records("test")]
    assert titles == [row["title_zh"] for row in ROWS[15:18]]
    write_card(folder, NAMED)
    assert DatasetCard.load(folder / "README.md").data.to_dict()["configs"][0]["data_files"][0]["path"] == "train-*.tar"
