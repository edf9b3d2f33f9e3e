"""Joint search of a source whose regions are kept: what is shown is what was scored."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import file_bytes
from tests.search.conftest import priced_rows, write_table

from interbert.cli.main import main
from interbert.extraction import joining
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.sources import open_source
from interbert.search.query_encoder import ProductEncoder
from interbert.search.source_index import SourceIndex

MAPPING = ColumnMapping("image", ("title",), "id")


def shown_images(page: Path) -> dict[str, np.ndarray]:
    """What the page shows under each id."""
    text = page.read_text(encoding="utf-8")
    files = dict(re.findall(r"\.(p\d+)\{background-image:url\(\"data:image/\w+;base64,([^\"]+)", text))
    cards = re.findall(r'<div class="image (p\d+|none)".*?<div class="id">([^<]+)</div>', text, re.S)
    return {
        name: np.asarray(Image.open(io.BytesIO(base64.b64decode(files[key]))).convert("RGB")).astype(int)
        for key, name in cards
        if key != "none"
    }


def test_a_source_that_was_sorted_anew_shows_each_image_under_its_own_id(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = priced_rows()[:6]
    words = ["search", str(model), "a red circle", "--image-id-column", "id", "--text-columns", "title", "--top-k", "6"]
    words += ["--regions", str(tmp_path / "regions")]
    pages = []
    for name, order in (("a", rows), ("b", rows[::-1])):
        table = write_table(tmp_path / f"{name}.parquet", order)
        page = tmp_path / f"{name}.html"
        assert main([*words, "--source", str(table), "--page", str(page)]) == 0
        assert "not shown" not in capsys.readouterr().out
        pages.append(shown_images(page))
    first, second = pages
    assert list(first) == list(second)
    assert len(first) == 6
    for name, image in first.items():
        assert np.array_equal(second[name], image), name
        original = next(row["image"] for row in rows if row["id"] == name)
        exact = np.asarray(Image.open(io.BytesIO(original["bytes"])).convert("RGB")).astype(int)  # type: ignore[index]
        assert np.abs(image - exact).mean() < 8, name


def test_an_image_whose_file_changed_under_its_id_is_left_out_and_named(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = priced_rows()[:4]
    encoder, regions = ProductEncoder.load(model), str(tmp_path / "regions")
    SourceIndex.of(open_source(str(write_table(tmp_path / "a.parquet", rows)), MAPPING), encoder, regions)
    rows[1]["image"] = {"bytes": file_bytes(Image.new("RGB", (40, 40), "pink")), "path": "other.png"}
    rows[2]["title"] = "what it is called today"
    monkeypatch.setattr(joining, "_COMPARED", 1)  # of a large source only some files are compared
    changed = write_table(tmp_path / "b.parquet", rows)
    catalogue = SourceIndex.of(open_source(str(changed), MAPPING), encoder, regions)
    assert [one.image_id for one in catalogue.entries] == [rows[place]["id"] for place in (0, 2, 3)]
    assert catalogue.entries[1].texts == ("what it is called today",)
    assert catalogue.problems == [(rows[1]["id"], f"{regions} has the regions of another file under this id")]
    words = [
        "search",
        str(model),
        "a circle",
        "--image-id-column",
        "id",
        "--text-columns",
        "title",
        "--source",
        str(changed),
    ]
    assert main([*words, "--regions", regions, "--page", str(tmp_path / "p.html")]) == 0
    assert f"1 images could not be used, such as {rows[1]['id']}" in capsys.readouterr().out
    assert set(shown_images(tmp_path / "p.html")) == {rows[place]["id"] for place in (0, 2, 3)}


@pytest.mark.parametrize("option", ["--image-column", "--picture"])
def test_the_column_that_is_named_holds_the_images(
    option: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blank = {"bytes": file_bytes(Image.new("RGB", (40, 40), "pink")), "path": "blank.png"}
    rows = [row | {"photo": row["image"], "image": blank} for row in priced_rows()[:3]]
    source = str(write_table(tmp_path / "shop.parquet", rows))
    page = tmp_path / "page.html"
    words = ["search", str(model), "a circle", "--source", source, "--image-id-column", "id", "--page", str(page)]
    assert main([*words, option, "photo"]) == 0
    for name, image in shown_images(page).items():
        original = next(row["photo"] for row in rows if row["id"] == name)
        exact = np.asarray(Image.open(io.BytesIO(original["bytes"])).convert("RGB")).astype(int)  # type: ignore[index]
        assert np.abs(image - exact).mean() < 8, name
    assert len(shown_images(page)) == 3
    noted = capsys.readouterr().err
    assert ("--picture is --image-column" in noted) == (option == "--picture")
