"""Products with several images, as shops' tables have them: further rows, mostly with empty cells."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import draw

from interbert.cli.main import main
from interbert.search.index import ProductIndex

ROWS = (
    "Handle,Title,Tags,Price,Image\nred-shirt,Red Shirt,new,19.99,0.png\nred-shirt,,,,1.png\n"
    "blue-hat,Blue Hat,,5.00,2.png\nblue-hat,,,,3.png\n"
)


@pytest.fixture
def shop(model: Path, tmp_path: Path) -> Path:
    """A folder with shop.csv, its images and their index."""
    for place, colour in enumerate(("red", "green", "blue", "black", "yellow")):
        draw(colour, "circle").save(tmp_path / f"{place}.png")
    (tmp_path / "shop.csv").write_text(ROWS)
    words = [
        "index",
        "build",
        model,
        tmp_path / "shop.csv",
        tmp_path / "index",
        "--product-id-column",
        "Handle",
        "--text-columns",
        "Title",
    ]
    assert main([str(word) for word in words]) == 0
    return tmp_path


def prices(shop: Path) -> dict[str, float | None]:
    index = ProductIndex.open(shop / "index")
    return {hit.id: hit.metadata["Price"] for hit in index.hits(index.ids())}


def test_the_table_of_an_index_changes_nothing_of_it(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = prices(shop)
    assert before == {"red-shirt": 19.99, "red-shirt#2": None, "blue-hat": 5.0, "blue-hat#2": None}
    capsys.readouterr()
    assert main(["index", "add", str(shop / "index"), str(shop / "shop.csv"), "--columns-only"]) == 0
    assert "skipped" not in capsys.readouterr().out
    assert prices(shop) == before


def test_a_price_of_a_product_is_that_of_all_its_images(shop: Path) -> None:
    (shop / "prices.csv").write_text("Handle,Price\nred-shirt,3\n")
    assert main(["index", "add", str(shop / "index"), str(shop / "prices.csv"), "--columns-only"]) == 0
    assert prices(shop) == {"red-shirt": 3.0, "red-shirt#2": 3.0, "blue-hat": 5.0, "blue-hat#2": None}


def test_what_stays_of_a_product_is_told(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", "remove", str(shop / "index"), "--where", "Price > 10"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "1 removed" in out
    assert "1 other images of these products stay" in out
    assert main(["index", "remove", str(shop / "index"), "--ids", "red-shirt,blue-hat"]) == 0
    assert "note" not in capsys.readouterr().out
    assert prices(shop) == {}


def test_an_image_that_takes_the_place_of_the_first_is_told(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shop / "more.csv").write_text("Handle,Title,Price,Image\nred-shirt,Red Shirt,19.99,4.png\n")
    assert main(["index", "add", str(shop / "index"), str(shop / "more.csv")]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "1 encoded anew" in out
    assert "their first image was replaced, and further ones stay that this source lacks: red-shirt." in out
