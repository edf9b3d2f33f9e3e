from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from interbert.regions.caption_index import CaptionIndex
from interbert.regions.importers.sizes import SizeIndex
from interbert.regions.name_index import NameIndex


@pytest.mark.parametrize(
    ("names", "image", "found"),
    [
        (["00123"], "123", "00123"),
        (["00123", "123"], "123", "123"),
        (["00123", "123"], "0123", None),
        (["00123.jpg", "123"], "00123", "00123.jpg"),
        (["00123.jpg", "123.jpg"], "123", "123.jpg"),
        (["shirts/1.jpg"], "bags/1.jpg", None),
        (["shirts/1.jpg"], "/data/shop/shirts/1.jpg", "shirts/1.jpg"),
        (["shirts/1.jpg", "bags/1.jpg"], "C:\\shop\\bags\\1.jpg", "bags/1.jpg"),
        (["shirts/1.jpg", "bags/1.jpg"], "1.jpg", None),
        (["shop/shirts/1.jpg", "shop/bags/1.jpg"], "bags/1.jpg", "shop/bags/1.jpg"),
        (["shirts/1.jpg"], "1", "shirts/1.jpg"),
        (["1.jpg", "shirts/1.jpg"], "/shop/shirts/1.jpg", "shirts/1.jpg"),
        (["1.jpg", "shirts/1.jpg"], "/shop/bags/1.jpg", "1.jpg"),
        (["1.jpg", "1.png"], "1", None),
        (["1.jpg", "1.png"], "shop/1.png", "1.png"),
        (
            ["val2014/COCO_val2014_000000391895.jpg"],
            "/data/val/COCO_val2014_000000391895.jpg",
            "val2014/COCO_val2014_000000391895.jpg",
        ),
        (["391895"], "COCO_val2014_000000391895", "391895"),
        (["a/" * 30 + "1.jpg"], "b/" * 20 + "1.jpg", None),
        (["1" * 5000], "2" * 5000, None),
        (["red"], "Red", None),
        (["10/1.jpg"], "1/1.jpg", None),
        (["101.0"], "101", "101.0"),
        (["101.5"], "101", None),
        (["101.0", "101.jpg"], "101", "101.jpg"),
    ],
)
def test_names_meet_only_where_nothing_contradicts(names: list[str], image: str, found: str | None) -> None:
    match = NameIndex(names, "the file").find(image)
    assert match.name == found
    assert found is None or match.problem is None


def test_what_is_in_another_folder_is_said_to_be_ambiguous() -> None:
    assert NameIndex(["shirts/1.jpg"], "c.csv").find("bags/01.jpg").problem == (
        "its file name is ambiguous: c.csv has 'shirts/1.jpg', in another folder"
    )
    assert NameIndex(["shirts/1.jpg"], "c.csv").find("bags/2.jpg").problem is None


@pytest.mark.parametrize(
    ("names", "images", "found"),
    [
        (["1.jpg"], ["/s/shirts/1.jpg", "/s/bags/1.jpg"], [None, None]),
        (["shirts/1.jpg"], ["/s/shirts/1.jpg", "/s/bags/1.jpg", "1.jpg"], ["shirts/1.jpg", None, None]),
        (["7"], ["7", "007"], ["7", None]),
        (["7"], ["07", "007"], [None, None]),
        (["7", "007"], ["7", "007", "0007"], ["7", "007", None]),
        (["7.jpg"], ["7", "007"], ["7.jpg", None]),
        (["07"], ["shirts/7", "7"], [None, None]),
        (["1.jpg", "shirts/1.jpg"], ["/s/shirts/1.jpg", "/s/1.jpg"], ["shirts/1.jpg", "1.jpg"]),
        (["shirts/1.jpg", "bags/1.jpg"], ["bags/1.jpg", "shoes/1.jpg"], ["bags/1.jpg", None]),
    ],
)
def test_of_images_that_are_alike_the_nearest_has_the_name(
    names: list[str], images: list[str], found: list[str | None]
) -> None:
    index = NameIndex(names, "the file").among(lambda: images)
    for order in (images, images[::-1]):
        assert {one: index.find(one).name for one in order} == dict(zip(images, found, strict=True))
    assert all(index.find(one).problem for one, name in zip(images, found, strict=True) if name is None)


def test_other_images_are_not_looked_at_while_names_are_exact() -> None:
    index = NameIndex(["1", "2"], "the file").among(lambda: pytest.fail("read"))
    assert [index.find(one).name for one in ("1", "2")] == ["1", "2"]


def test_an_index_of_captions_stays_as_it_was_and_is_pickled_with_what_it_knows(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("file_name,caption\n1.jpg,a red shirt\n")
    index = CaptionIndex(tmp_path / "c.csv")
    narrowed = index.among(lambda: ["shirts/1.jpg", "bags/1.jpg"])
    for one in (narrowed, pickle.loads(pickle.dumps(narrowed))):
        assert one.find("bags/1.jpg") == ((), ())
        assert "'shirts/1.jpg' has it too" in (one.match("bags/1.jpg").problem or "")
    assert index.find("bags/1.jpg") == (("a red shirt",), ("caption",))


def test_sizes_are_found_as_captions_are(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(
        "id,width,height\n7,70,71\n007,1,2\nshirts/1.jpg,3,4\n00123,5,6\n9,1,1\n9,1,2\n9,1,1\n"
    )
    sizes = SizeIndex(str(tmp_path / "s.csv"))
    assert [sizes.find(one) for one in ("7", "007", "0007", "shirts/1.jpg", "bags/1.jpg", "123", "9")] == [
        *((70, 71), (1, 2), None, (3, 4), None, (5, 6), None)
    ]
    assert "'7' and '007'" in sizes.problem("0007")
    assert sizes.problem("9") == f"'9' is 1x1 and 1x2 in {tmp_path / 's.csv'}"
    assert sizes.problem("8") == f"{tmp_path / 's.csv'} does not have '8'"
    sizes.compare(lambda: ["123", "0123"])
    assert sizes.find("123") is None
