"""``interbert dataset overlap``: shared images by collection and id, by file and by likeness, and shared texts."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from interbert.cli.main import main
from interbert.curation.overlap import Overlap, find_overlap
from interbert.curation.overlap_sources import Asked, keys_of
from interbert.errors import DataError, SourceError
from interbert.regions.schema import ExtractorInfo, RegionRecord, Regions
from interbert.regions.store import RegionStore

REFS = (
    b"\x80\x02]q\x00}q\x01(X\x06\x00\x00\x00ref_idK\x01X\x06\x00\x00\x00ann_idK\x07X\x08\x00\x00\x00image_idK*"
    b"X\x05\x00\x00\x00splitX\x05\x00\x00\x00trainX\x09\x00\x00\x00sentences]}(X\x07\x00\x00\x00sent_idK\x05"
    b"X\x04\x00\x00\x00sentX\x07\x00\x00\x00red carX\x03\x00\x00\x00rawX\x07\x00\x00\x00Red carX\x06\x00\x00\x00tokens"
    b"](X\x03\x00\x00\x00redX\x03\x00\x00\x00careuaua."
)
"""A protocol-2 pickle of one reference to object 7 of image 42."""


def overlap(a: str, b: str, ids_a: str | None = None, **options: bool | str) -> Overlap:
    return find_overlap(Asked(a, ids_a), Asked(b), **options)  # type: ignore[arg-type]


def write_vqa(path: Path, *images: int, subtype: str = "val2014") -> str:
    questions = [
        {"image_id": image, "question": f"What is in image {image}?", "question_id": 10 * image} for image in images
    ]
    path.write_text(json.dumps({"data_subtype": subtype, "questions": questions}), encoding="utf-8")
    return f"vqa={path}"


def write_gqa(path: Path, *images: str) -> str:
    rows = {f"1{image}": {"question": "Is it red?", "imageId": image, "answer": "yes"} for image in images}
    path.write_text(json.dumps(rows), encoding="utf-8")
    return f"gqa={path}"


def write_store(path: Path, *rows: tuple[str, str, str]) -> str:
    """A store of rows of image id, digest and text."""
    store = RegionStore.create(path, ExtractorInfo("made", {}, 2, None))
    regions = Regions(np.array([[0, 0, 5, 5]], np.float32), np.ones((1, 2), np.float32), None, 10, 10)
    store.append(
        [
            RegionRecord(name, name, digest, 0, row, (text,), ("caption",), regions)
            for row, (name, digest, text) in enumerate(rows)
        ]
    )
    return str(path)


def photo(seed: int, side: int = 96) -> Image.Image:
    """An image of smooth blobs, as photos are."""
    drawn = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(drawn).resize((side, side), Image.Resampling.BICUBIC)


def file_of(image: Image.Image, form: str = "PNG", **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def write_table(path: Path, *rows: tuple[str, bytes, str]) -> str:
    names, files, titles = zip(*rows, strict=True)
    pq.write_table(pa.table({"image": list(files), "id": list(names), "title": list(titles)}), path)
    return str(path)


def test_coco_images_of_every_form_of_name_are_one(tmp_path: Path) -> None:
    store = write_store(
        tmp_path / "store",
        ("COCO_train2014_000000000042", "", "a"),
        ("000000000043.jpg", "", "b"),
        ("COCO_val2014_000000000099.jpg", "", "c"),
    )
    found = overlap(store, write_vqa(tmp_path / "questions.json", 41, 42, 43))
    assert [(one.a.row, one.b.row, one.b.id) for one in found.images] == [(0, 2, "420"), (1, 3, "430")]
    assert found.images[0].by == ("id",)
    assert found.counts()["shared_images_by_id"] == 2


def test_an_id_counts_within_its_collection_alone(tmp_path: Path) -> None:
    """Image 42 of Visual Genome is another image than 42 of COCO, until image_data.json says which it is."""
    gqa, vqa = write_gqa(tmp_path / "gqa.json", "42", "2317"), write_vqa(tmp_path / "vqa.json", 42)
    assert not overlap(gqa, vqa).images
    image_data = tmp_path / "image_data.json"
    rows = [
        {"image_id": 42, "coco_id": None, "flickr_id": None},
        {"image_id": 2317, "coco_id": 42, "flickr_id": 1},
    ]
    image_data.write_text(json.dumps(rows), encoding="utf-8")
    found = overlap(gqa, vqa, image_data=str(image_data))
    assert [(one.a.id, one.b.id) for one in found.images] == [("12317", "420")]


def test_refcoco_shares_images_with_vqa(tmp_path: Path) -> None:
    folder = tmp_path / "refcoco"
    folder.mkdir()
    (folder / "refs(unc).p").write_bytes(REFS)
    instances = {
        "images": [{"id": 42, "file_name": "COCO_train2014_000000000042.jpg", "width": 100, "height": 90}],
        "annotations": [{"id": 7, "image_id": 42, "category_id": 3, "bbox": [1.0, 2.0, 30.0, 40.0]}],
        "categories": [{"id": 3, "name": "car"}],
    }
    (folder / "instances.json").write_text(json.dumps(instances), encoding="utf-8")
    found = overlap(f"refcoco={folder}", write_vqa(tmp_path / "vqa.json", 42, 9))
    assert [(one.a.id, one.b.id) for one in found.images] == [("5", "420")]


def test_an_undeclared_collection_is_compared_by_name_and_a_declared_one_is_not(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", ("42", "", "a"))
    vqa = write_vqa(tmp_path / "vqa.json", 42)
    assert len(overlap(store, vqa).images) == 1
    assert not overlap(store, vqa, "visual-genome").images
    assert len(overlap(store, vqa, "coco").images) == 1


def test_equal_files_and_recompressed_photos_are_found_whatever_their_ids(tmp_path: Path) -> None:
    a = write_table(
        tmp_path / "a.parquet",
        ("one", file_of(photo(1)), "red shoe"),
        ("two", file_of(photo(2)), "blue shoe"),
        ("three", file_of(photo(3)), "green shoe"),
    )
    b = write_table(
        tmp_path / "b.parquet",
        ("x", file_of(photo(2, 80), "JPEG", quality=80), "Blue  SHOE"),
        ("y", file_of(photo(1)), "hat"),
        ("z", file_of(photo(9)), "scarf"),
    )
    found = overlap(a, b)
    assert [(one.a.row, one.b.row, one.by) for one in found.images] == [
        (1, 0, ("hash",)),
        (0, 1, ("file", "hash")),
    ]
    assert [(one.a.row, one.b.row) for one in found.texts] == [(1, 0)]
    assert len(overlap(a, b, near=False).images) == 1


def test_a_table_has_ids_where_its_column_is_named(tmp_path: Path) -> None:
    """Else ids would be the numbers of rows, which two tables always share."""
    a = write_table(tmp_path / "a.parquet", ("42", file_of(photo(1)), "red shoe"))
    b = write_table(tmp_path / "b.parquet", ("42", file_of(photo(2)), "hat"))
    assert not overlap(a, b).images
    (shared,) = find_overlap(Asked(a, id_column="id"), Asked(b, id_column="id")).images
    assert (shared.a.id, shared.b.id, shared.by) == ("42", "42", ("id",))


def test_a_folder_of_images_has_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "COCO_val2014_000000000042.png").write_bytes(file_of(photo(1)))
    (shared,) = overlap(str(folder), write_vqa(tmp_path / "vqa.json", 42, 1)).images
    assert (shared.a.id, shared.b.id) == ("COCO_val2014_000000000042.png", "420")


def test_the_files_of_stores_are_compared_by_their_digests(tmp_path: Path) -> None:
    a = write_store(tmp_path / "a", ("p1", "ab" * 32, "a"), ("p2", "", "b"))
    b = write_store(tmp_path / "b", ("q1", "ab" * 32, "c"), ("q2", "", "d"))
    (shared,) = overlap(a, b).images
    assert (shared.a.id, shared.b.id, shared.by) == ("p1", "q1", ("file",))


def test_texts_alone(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a red car\na blue car\n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"caption": "A Red  car"}\n{"caption": "a tree"}\n', encoding="utf-8")
    found = overlap(str(tmp_path / "a.txt"), str(tmp_path / "b.jsonl"))
    assert found.counts() == {
        "images_a": 0,
        "images_b": 0,
        "shared_images": 0,
        "texts_a": 2,
        "texts_b": 2,
        "shared_texts": 1,
    }
    assert (found.texts[0].a.row, found.texts[0].b.row) == (1, 1)


def test_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = write_store(tmp_path / "store", ("COCO_val2014_000000000042", "", "a"), ("7", "", "b"))
    vqa = write_vqa(tmp_path / "vqa.json", 42, 7)
    assert main(["dataset", "overlap", store, vqa, "--show", "1"]) == 0
    told = capsys.readouterr().out
    assert "images of the second that are in the first: 2 (2 by id)" in told
    assert f"{tmp_path / 'vqa.json'}, row 1, 420 = {store}, row 0, COCO_val2014_000000000042 by id" in told
    assert "and 1 more" in told
    assert main(["dataset", "overlap", store, vqa, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["shared_images"] == len(said["images"]) == 2
    assert said["images"][0]["b"] == {"file": str(tmp_path / "vqa.json"), "row": 1, "id": "420"}


@pytest.mark.parametrize("source", ["nowhere", "vqa=nowhere.json", "flickr-entities=nowhere"])
def test_a_source_that_is_not_there_is_one_line(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dataset", "overlap", write_vqa(tmp_path / "vqa.json", 1), source]) == 2
    told = capsys.readouterr().err
    assert source.partition("=")[2] or source in told
    assert "Traceback" not in told


def test_a_file_that_is_no_image_data_is_refused(tmp_path: Path) -> None:
    vqa, other = write_vqa(tmp_path / "vqa.json", 1), tmp_path / "other.json"
    other.write_text('[{"image_id": 1}]', encoding="utf-8")
    with pytest.raises(DataError, match="coco_id"):
        overlap(vqa, vqa, image_data=str(other))
    with pytest.raises(SourceError, match="there is no such file"):
        overlap(vqa, vqa, image_data=str(tmp_path / "none.json"))


def test_keys() -> None:
    assert keys_of(("a/COCO_test2015_000000000007.jpg",), None, {}) == ("coco/7",)
    assert keys_of(("000000000007.jpg",), None, {}) == ("coco/7",)
    assert keys_of(("7.jpg",), None, {}) == ()
    assert keys_of(("7.jpg",), "flickr30k", {}) == ("flickr30k/7",)
    assert keys_of(("7",), "visual-genome", {"7": "9"}) == ("visual-genome/7", "coco/9")


def test_images_that_cannot_be_read_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ("1", file_of(photo(1)), "a"), ("2", b"no image", "b"), ("3", file_of(photo(2))[:200], "c")
    table = write_table(tmp_path / "a.parquet", *rows)
    assert main(["dataset", "overlap", table, table]) == 0
    told = capsys.readouterr().out
    assert "images of the second that are in the first: 3 (3 by file, 1 by hash)" in told
    assert f"not compared: {table}, row 1" in told
