"""Columns of a catalogue reach the images they belong to, by id and by file, and what is not read is listed."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.conftest import draw, file_bytes
from tests.search.conftest import priced_rows, source_of, write_table

from interbert.cli.main import main
from interbert.errors import SourceError
from interbert.extraction.attributes import facet_columns_in, facet_columns_of
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.joining import CatalogueColumns
from interbert.extraction.sources import open_source
from interbert.regions.schema import CaptionRow, RegionRecord
from interbert.regions.store import RegionStore
from interbert.topics.fit import fit_topics


def catalogue(path: Path, rows: list[dict[str, Any]], **mapping: str) -> CatalogueColumns:
    source = open_source(str(write_table(path, rows)), ColumnMapping("image", ("title",), **mapping), need_texts=False)
    return CatalogueColumns(source, ["colour"])


def captions(store: Path) -> list[CaptionRow]:
    return list(RegionStore.open(str(store)).captions())


def colours(store: Path) -> list[tuple[str]]:
    return [(one.product_id.split("-")[0],) for one in captions(store)]


def test_a_table_in_another_order_says_the_same_of_every_product(shop_regions: Path, tmp_path: Path) -> None:
    rows = [priced_rows()[place] for place in (*range(23, 11, -1), *range(12))]
    found = catalogue(tmp_path / "sorted.parquet", rows, product_id="id").join(captions(shop_regions))
    assert (found.values, found.problems) == (colours(shop_regions), [])
    by_image = catalogue(tmp_path / "sorted.parquet", rows, image_id="id")
    assert by_image.join(captions(shop_regions)).values == colours(shop_regions)


def test_a_table_without_ids_is_joined_by_the_images(shop_regions: Path, tmp_path: Path) -> None:
    rows = [{name: row[name] for name in ("image", "title", "colour")} for row in reversed(priced_rows())]
    joined = catalogue(tmp_path / "unnamed.parquet", rows)
    numbered = [
        CaptionRow(one.row, str(one.row), str(one.row), one.digest, 0, one.row, one.texts, one.text_fields)
        for one in captions(shop_regions)
    ]
    found = joined.join(numbered)
    assert (found.values, found.problems) == (colours(shop_regions), [])
    (unknown,) = joined.join([CaptionRow(0, "0", "0", "f" * 64, 0, 0, (), ())]).problems
    assert unknown[1].endswith("has no ids, and its image is in no row")
    assert joined.join([CaptionRow(0, "0", "0", "", 0, 0, (), ())]).problems  # a row's number alone is no id


def test_an_id_with_another_image_is_no_match_and_one_whose_image_cannot_be_read_is(
    shop_regions: Path, tmp_path: Path
) -> None:
    rows = priced_rows()
    rows[0] = dict(rows[0], image={"bytes": file_bytes(draw("black", "circle")), "path": "x.png"})
    rows[1] = dict(rows[1], image={"bytes": None, "path": None})
    rows[2] = dict(rows[2], id=None)
    rows[3] = dict(rows[3], id="2")
    rows.append(dict(rows[4], colour="pink"))
    found = catalogue(tmp_path / "some.parquet", rows, product_id="id").join(captions(shop_regions))
    assert [place for place, _ in found.problems] == [0, 2, 3, 4]
    reasons = [reason for _, reason in found.problems]
    assert "row 0 of" in reasons[0]
    assert "has its product id 'red-circle', but another image" in reasons[0]
    assert "no row of" in reasons[1]
    assert "rows 4 and 24 of" in reasons[3]
    assert "both its own, with another colour" in reasons[3]
    others = [one for (one,) in colours(shop_regions)[5:]]
    assert [value for (value,) in found.values] == ["", "green", "", "", "", *others]


def test_several_images_of_a_product_are_told_apart_by_their_files(shop_regions: Path, tmp_path: Path) -> None:
    rows = [dict(row, id="one") for row in reversed(priced_rows())]
    of_one = [
        CaptionRow(one.row, str(one.row), "one", one.digest, 0, one.row, one.texts, one.text_fields)
        for one in captions(shop_regions)
    ]
    assert catalogue(tmp_path / "one.parquet", rows, product_id="id").join(of_one).values == colours(shop_regions)


def test_topics_are_learned_by_id_and_what_does_not_join_is_listed(
    taught: Path, shop_regions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(taught, tmp_path / "model"))
    rows = [dict(row, colour=f"{str(row['id']).split('-')[1]}ish") for row in reversed(priced_rows())]
    full = write_table(tmp_path / "sorted.parquet", rows)
    memory = fit_topics(folder, str(shop_regions), catalogue=CatalogueColumns(source_of(full), ["colour"]))
    examples = memory.examples
    assert len(examples) == 24
    circles = examples.facets.members[:, examples.facets.texts.index("circleish")].toarray().ravel()
    assert [row for row, text in enumerate(examples.texts) if " circle " in text] == np.flatnonzero(circles).tolist()
    assert not (folder / "topics_left_out.jsonl").exists()

    words = ["topics", "learn", str(folder), str(shop_regions), "--columns", "colour", "--catalogue"]
    short = write_table(tmp_path / "short.parquet", rows[:20])
    assert main([*words, str(short), "--product-id-column", "id"]) == 0
    assert "4 images were not read, or without columns" in capsys.readouterr().out
    listed = [json.loads(line) for line in (folder / "topics_left_out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {one["product_id"] for one in listed} == {str(row["id"]) for row in rows[20:]}
    assert all(one["store"] == str(shop_regions) and "has its id" in one["reason"] for one in listed)

    other = write_table(tmp_path / "other.parquet", [dict(row, id=f"x{row['id']}") for row in rows])
    before = (folder / "topics.safetensors").read_bytes()
    assert main([*words, str(other)]) == 2
    said = capsys.readouterr().err
    assert "none of its 24 images is in" in said
    assert "--product-id-column" in said
    assert said.count("\n") == 1
    assert (folder / "topics.safetensors").read_bytes() == before


def test_images_without_a_text_are_listed(taught: Path, shop_regions: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(taught, tmp_path / "model"))
    store = RegionStore.open(str(shutil.copytree(shop_regions, tmp_path / "store")))
    store.append([RegionRecord("mute", "mute", "", 0, 24, (), (), store.take([0])[0])])
    memory = fit_topics(folder, str(tmp_path / "store"))
    assert [(one.image_id, one.reason) for one in memory.left_out] == [("mute", "has no text")]
    assert len(memory.examples) == 24


ROWS = [
    {
        "file_name": "one.png",
        "name": f"thing {row}",
        "kind": ["shirt", "bag"][row % 2],
        "stock": row % 3,
        "price": f"{row % 3},50",
        "dear": f"${row % 3 + 1},019.99",
        "launched": f"2026-01-0{1 + row % 3}",
        "sale": row % 2 == 0,
        "many": f"brand {row % 21}",
        "size": ["S", "M", "38"][row % 3],
        "country": "here",
        "nothing": "",
    }
    for row in range(200)
]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_quantities_are_no_kinds_in_any_form_of_source_and_every_column_is_accounted_for(
    tmp_path: Path, form: str
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    file = tmp_path / f"metadata.{form}"
    if form == "csv":
        with file.open("w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, list(ROWS[0]))
            writer.writeheader()
            writer.writerows(ROWS)
    elif form == "jsonl":
        file.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    else:
        write_table(file, ROWS)
    found = facet_columns_of(open_source(str(tmp_path), ColumnMapping(), need_texts=False))
    assert found.taken == ("kind", "size")
    assert set(found.left_out) == set(ROWS[0]) - {"file_name", "name", "kind", "size"}
    assert found.left_out["many"] == "21 different values in 200 rows; at most 20, else they name products"
    assert all("number" in found.left_out[name] for name in ("stock", "price", "dear"))
    assert "dates" in found.left_out["launched"]
    assert found.left_out["sale"] == "true or false"
    assert found.left_out["country"] == "the same in every row"
    assert found.left_out["nothing"] == "empty"


def test_the_command_says_which_columns_it_reads_and_which_not(
    taught: Path, tmp_path: Path, shop_regions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(taught, tmp_path / "model"))
    shapes = [dict(row, shape=("round", "straight")[place % 2]) for place, row in enumerate(priced_rows())]
    words = ["topics", "learn", str(folder), str(shop_regions), "--catalogue"]
    assert main([*words, str(write_table(tmp_path / "shop.parquet", shapes))]) == 0
    said = capsys.readouterr().out
    assert "facets of products in shape\n" in said
    assert "left out, unless named with --columns:" in said
    assert "colour (8 different values in 24 rows; at most 2, else they name products)" in said
    assert "stock (numbers)" in said
    numbers = [{name: row[name] for name in ("image", "title", "id", "stock")} for row in priced_rows()]
    assert main([*words, str(write_table(tmp_path / "numbers.parquet", numbers))]) == 2
    assert "no column says of what kind a product is: stock (numbers). Name some with --columns" in (
        capsys.readouterr().err
    )


def test_a_source_without_further_columns_has_no_kinds(tmp_path: Path) -> None:
    rows = [{name: row[name] for name in ("image", "title", "id")} for row in priced_rows()]
    source = open_source(str(write_table(tmp_path / "bare.parquet", rows)), ColumnMapping(), need_texts=False)
    assert facet_columns_in(source, source.columns.texts).taken == ()
    with pytest.raises(SourceError, match="columns"):
        facet_columns_of(source)
