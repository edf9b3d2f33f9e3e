"""Pairs that a run shows were not trained on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import draw

from interbert.checkpoints.directory import load_processor
from interbert.data.qrels import QrelsTexts
from interbert.errors import StoreError, UsageError
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.extract import extract_to_store
from interbert.extraction.extractor import build_extractor
from interbert.extraction.sources import open_source
from interbert.regions.schema import ExtractorInfo
from interbert.regions.store import RegionStore
from interbert.report.runs import Run, held_out_pairs, read_run
from interbert.training.run_setup import open_data


@pytest.fixture(scope="module")
def run(pretrained: Path) -> Run:
    return read_run(pretrained)


@pytest.fixture(scope="module")
def extractor(pretrained: Path) -> ExtractorInfo:
    return ExtractorInfo.from_dict(load_processor(pretrained).extractor_info)


def changed(run: Run, **recipe: object) -> Run:
    return replace(run, recipe={**run.recipe, **recipe})


def test_without_a_validation_store_they_are_the_share_that_training_held_out(
    run: Run, extractor: ExtractorInfo
) -> None:
    found = held_out_pairs(run, extractor)
    data = open_data(run.recipe["regions"], None, 0.3, 500, [], run.recipe["training"]["seed"])
    assert set(found.table.texts) == set(data.validation.texts)
    assert not set(found.table.rows.tolist()) & set(data.table.rows.tolist())
    assert found.origin == "the 30% that it held out"


def test_a_training_store_that_has_changed_is_refused(
    run: Run, extractor: ExtractorInfo, shop_store: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(shop_store, moved)
    assert len(held_out_pairs(run, extractor, str(moved)).table)  # the same store in another place
    other = replace(run, origin={**run.origin, "data": {"regions": "other", "validation": "other"}})
    with pytest.raises(UsageError, match="has changed since the run began"):
        held_out_pairs(other, extractor)


def test_what_a_run_with_a_validation_store_was_trained_on_is_refused(
    run: Run, extractor: ExtractorInfo, shop_store: Path
) -> None:
    with pytest.raises(UsageError, match="is what pretrained was trained on"):
        held_out_pairs(changed(run, validation="v"), extractor, str(shop_store))
    with pytest.raises(StoreError, match="v: there is no region store"):
        held_out_pairs(changed(run, validation="v"), extractor)
    with pytest.raises(StoreError, match="another extractor"):
        held_out_pairs(run, replace(extractor, num_classes=7))


def test_of_another_store_only_images_count_that_the_training_store_does_not_have(
    run: Run, extractor: ExtractorInfo, shop: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    draw("red", "circle").save(folder / "known.png")  # as the shop has it
    draw("pink", "square").save(folder / "new.png")
    lines = ["file_name,title", "known.png,a red circle", "new.png,a pink square"]
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    source = open_source(str(folder), ColumnMapping(texts=("title",)))
    store = tmp_path / "store"
    extract_to_store(source, store, build_extractor(extractor), progress=False)
    found = held_out_pairs(run, extractor, str(store))
    assert found.table.texts == ("a pink square",)
    assert found.origin == f"{store}, without images of the training store"
    gone = changed(run, regions=str(tmp_path / "gone"))
    assert "could not be compared" in held_out_pairs(gone, extractor, str(store)).origin
    assert json.loads(extractor.to_json())["num_classes"] == 1000


def test_of_a_run_on_judgements_they_are_the_products_that_it_held_out(
    run: Run, extractor: ExtractorInfo, tmp_path: Path
) -> None:
    store = run.recipe["regions"]
    products = [one.product_id or one.image_id for one in RegionStore.open(store).captions()]
    file = tmp_path / "q.tsv"
    file.write_text("query\tproduct_id\n" + "".join(f"{name.split('-')[0]} thing\t{name}\n" for name in products[::2]))
    judged = QrelsTexts.read(file)
    data = open_data(store, None, 0.3, 500, [], run.recipe["training"]["seed"], judged=judged)
    recipe = {"qrels": str(file), "qrels_columns": [], "min_grade": None}
    trained = replace(changed(run, **recipe), origin={**run.origin, "data": data.fingerprints()})
    found = held_out_pairs(trained, extractor)
    assert tuple(found.table.gallery()[0].tolist()) == data.validation.image_rows
    assert set(found.table.rows.tolist()) < set(data.validation.image_rows)  # products without a judgement are ranked
    assert not set(found.table.rows.tolist()) & set(data.table.rows.tolist())
    file.write_text(file.read_text() + f"other thing\t{products[1]}\n")
    with pytest.raises(UsageError, match=r"q\.tsv: has changed since the run began"):
        held_out_pairs(trained, extractor)
