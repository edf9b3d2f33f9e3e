"""Products written one by one: what is done to each row, and that a bad one leaves the others alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import draw, file_bytes

from interbert.errors import BusyError
from interbert.search.index import ProductIndex
from interbert.search.index_model import index_encoder
from interbert.search.query_encoder import ProductEncoder
from interbert.search.row_changes import Outcome, ProductRow, maintain, remove_products, write_rows
from interbert.search.verify import verify_index
from interbert.utils.files import only_writer

Write = Callable[..., list[Outcome]]


def image(colour: str, shape: str = "circle") -> bytes:
    return file_bytes(draw(colour, shape))


@pytest.fixture(scope="module")
def encoder(built: Path) -> ProductEncoder:
    return index_encoder(ProductIndex.open(built))


@pytest.fixture
def write(index_path: Path, encoder: ProductEncoder) -> Write:
    def run(*rows: ProductRow) -> list[Outcome]:
        with only_writer(index_path):
            return write_rows(ProductIndex.open(index_path).pinned(), encoder, rows)

    return run


def statuses(outcomes: Sequence[Outcome]) -> list[str]:
    return [one.status for one in outcomes]


def column(path: Path, name: str, column: str) -> object:
    index = ProductIndex.open(path)
    field = index.filter_names[column].field
    return index.existing([name], [field])[name][field]


def test_each_row_says_what_was_done_to_it(index_path: Path, write: Write) -> None:
    rows = [
        ProductRow("new", image=image("pink"), texts=("a pink circle",), columns={"price": 9, "colour": "pink"}),
        ProductRow("red-circle", image=image("white")),
        ProductRow("blue-circle", columns={"price": 1.5}),
        ProductRow("green-circle", image=image("green"), columns={"stock": 1}),
        ProductRow("absent", columns={"price": 1.5}),
        ProductRow("broken", image=b"no image"),
        ProductRow("wrong", image=image("pink"), columns={"price": "much"}),
        ProductRow("typo", image=image("pink"), columns={"prise": 1}),
    ]
    outcomes = write(*rows)
    expected = ["added", "replaced", "updated", "unchanged", *["rejected"] * 4]
    assert statuses(outcomes) == expected
    assert [one.code for one in outcomes[4:]] == ["not_found", "bad_image", "invalid", "invalid"]
    assert "Send its image" in outcomes[4].reason
    assert "price" in outcomes[6].reason
    assert "'much'" in outcomes[6].reason
    assert "Did you mean 'price'" in outcomes[7].reason
    index = ProductIndex.open(index_path)
    assert index.ids("price = 9 and colour = 'pink'") == ["new"]
    assert column(index_path, "blue-circle", "price") == 1.5
    assert column(index_path, "red-circle", "price") == 5.0, "a replaced image keeps the columns that were not given"
    assert index.hits(["red-circle"])[0].texts == ("a red circle on white paper", "白纸上的红色圆形")
    assert not {"absent", "broken", "wrong", "typo"} & set(index.ids())


def test_what_is_written_twice_is_as_if_written_once(index_path: Path, encoder: ProductEncoder, write: Write) -> None:
    rows = [
        ProductRow("new", image=image("pink"), texts=("a  pink\ncircle", "a pink circle"), columns={"price": 9}),
        ProductRow("red-circle", columns={"stock": 2.5, "colour": None}),
    ]
    write(*rows)
    before = ProductIndex.open(index_path)
    vectors, ids = before.vectors(before.ids()), before.ids()
    assert statuses(write(*rows)) == ["unchanged", "unchanged"]
    after = ProductIndex.open(index_path)
    assert after.ids() == ids
    np.testing.assert_array_equal(after.vectors(ids), vectors)
    assert after.hits(["new"])[0].texts == ("a pink circle",)
    assert column(index_path, "red-circle", "stock") == 2.5, "a column of whole numbers is widened"
    assert column(index_path, "red-circle", "colour") is None
    maintain(after.pinned())
    assert verify_index(after, encoder).problems == []


def test_rows_take_effect_in_their_order(index_path: Path, write: Write) -> None:
    outcomes = write(
        ProductRow("new", image=image("pink"), columns={"price": 1.0}),
        ProductRow("new", columns={"price": 2.0}),
        ProductRow("new", "new-back", image("brown")),
        ProductRow("new", columns={"price": 3.0, "stock": 7}),
        ProductRow("new", "new-back", columns={"price": 4.0}),
    )
    assert statuses(outcomes) == ["added", "updated", "added", "updated", "updated"]
    assert [column(index_path, name, "price") for name in ("new", "new-back")] == [3.0, 4.0]
    assert [column(index_path, name, "stock") for name in ("new", "new-back")] == [7, 7]


def test_an_image_must_be_told_from_the_others_of_its_product(index_path: Path, write: Write) -> None:
    write(ProductRow("new", "front", image("pink")), ProductRow("new", "back", image("brown")))
    outcomes = write(
        ProductRow("new", image=image("cyan")),
        ProductRow("other", "front", image("cyan")),
        ProductRow("front", image=image("cyan")),
        ProductRow("red-circle", "front", columns={"price": 1.0}),
    )
    assert statuses(outcomes) == ["rejected"] * 4
    assert [one.code for one in outcomes] == ["conflict", "conflict", "conflict", "not_found"]
    assert statuses(write(ProductRow("other", "only", image("cyan")))) == ["added"]
    assert write(ProductRow("other", image=image("navy"))) == [Outcome("replaced", "only")]


def test_products_and_single_images_are_removed(index_path: Path, write: Write) -> None:
    write(ProductRow("new", "front", image("pink")), ProductRow("new", "back", image("brown")))
    with only_writer(index_path):
        wanted = [("new", "back"), ("red-circle", None), ("red-circle", None), ("absent", None), ("it's", None)]
        outcomes = remove_products(ProductIndex.open(index_path).pinned(), wanted)
    assert statuses(outcomes) == ["removed", "removed", "rejected", "rejected", "rejected"]
    ids = ProductIndex.open(index_path).ids()
    assert "front" in ids
    assert not {"back", "red-circle"} & set(ids)


@pytest.mark.parametrize(
    "value",
    [[1, "a"], {"a": 1}, 10**400, "12 apples", True, [[1]]],
    ids=["mixed", "object", "huge", "text", "true", "deep"],
)
def test_values_that_do_not_fit_name_the_column(write: Write, value: object) -> None:
    (outcome,) = write(ProductRow("red-circle", columns={"stock": value}))
    assert outcome.status == "rejected"
    assert "'stock'" in outcome.reason
    assert "row 0" not in outcome.reason


def test_an_index_that_another_command_holds_is_busy(index_path: Path, write: Write) -> None:
    with only_writer(index_path), pytest.raises(BusyError, match="another command"):
        write(ProductRow("red-circle", columns={"stock": 1}))
