from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given as for_any
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies
from PIL import Image
from tests.conftest import draw, file_bytes
from tests.extraction.frcnn.checks import TINY, random_frcnn
from tests.extraction.test_grid import noise

from interbert.cli.main import main
from interbert.errors import ConfigError, RegionError
from interbert.extraction.extractor import build_extractor
from interbert.extraction.frcnn.extractor import FrcnnExtractor
from interbert.extraction.frcnn.loading import LoadedFrcnn
from interbert.extraction.given import GivenExtractor, read_boxes, require_format
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.extraction.settings import FrcnnSettings
from interbert.extraction.views import at_size, extract_view, mirror_boxes, shrink
from interbert.extraction.windows import window_fractions
from interbert.regions.store import RegionStore

DATA = os.environ.get("INTERBERT_DATA", "")
COCO = Path(DATA) / "butd_coco10"


@pytest.fixture(scope="module")
def grid() -> GridExtractor:
    return GridExtractor(GridSettings(input_size=64, scales=(1, 2), features=("colour", "stride16", "head")))


@pytest.fixture
def frcnn() -> FrcnnExtractor:
    return FrcnnExtractor(LoadedFrcnn(random_frcnn(TINY), "here", "0" * 64), FrcnnSettings(min_boxes=3), "cpu")


# boxes of a row


@pytest.mark.parametrize(
    ("value", "form", "wanted"),
    [
        ([[1, 2, 30, 40]], "xyxy", [[1, 2, 30, 40]]),
        ([[1, 2, 30, 40, 0.9], [0, 0, 5, 5, 0.1]], "xyxy", [[1, 2, 30, 40], [0, 0, 5, 5]]),
        ([1.5, 2, 30, 40], "xyxy", [[1.5, 2, 30, 40]]),
        ("[[1, 2, 30, 40]]", "xyxy", [[1, 2, 30, 40]]),
        (np.array([[1, 2, 30, 40]]), "xyxy", [[1, 2, 30, 40]]),
        ([np.array([1, 2, 30, 40])], "xywh", [[1, 2, 31, 42]]),
        ([[0.1, 0.2, 0.5, 1.0]], "xyxy_relative", [[10, 10, 50, 50]]),
        ([[0.1, 0.2, 0.5, 0.5]], "xywh_relative", [[10, 10, 60, 35]]),
        ([[-5, -5, 500, 500]], "xyxy", [[0, 0, 100, 50]]),
        ([["1", "2", "30", "40"]], "xyxy", [[1, 2, 30, 40]]),
    ],
)
def test_boxes_of_every_usual_form_are_read(value: object, form: str, wanted: list) -> None:
    np.testing.assert_allclose(read_boxes(value, form, (100, 50), "row 1"), np.float32(wanted), rtol=1e-6)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "row 1: has no boxes"),
        ([], "row 1: has no boxes"),
        ("", "row 1: has no boxes"),
        ("no list", "row 1: its boxes are no JSON list: no list"),
        ("[" * 100_000, "row 1: its boxes are no JSON list"),
        ("9" * 1_000_001, "row 1: its boxes are 1000001 characters long"),
        ({"x": 1}, "row 1: its boxes are .*, not a list of boxes"),
        (7, "row 1: its boxes are 7, not a list"),
        ([[1, 2, 30, 40], [1, 2, 3]], r"row 1: box 1 is \[1, 2, 3\], not 4 numbers"),
        ([[1, 2, 30, 40], "abcd"], "row 1: box 1 is abcd, not 4 numbers"),
        ([[1, 2, 30, "nan"]], "row 1: box 0 is .*, not 4 numbers"),
        ([[1, 2, 1e400, 5]], "row 1: box 0 is .*, not 4 numbers"),
        ([[1, 2, 30, 40], [30, 2, 1, 40]], r"row 1: box 1 \[30, 2, 1, 40\] has no area inside .*100x50.*Are its.*xyxy"),
        ([[200, 2, 300, 40]], "row 1: box 0 .* has no area inside"),
        ([[1, 1, 1, 9]], "row 1: box 0 .* has no area inside"),
        ([[0, 0, 9, 9]] * 1001, "row 1: has 1001 boxes; at most 1000"),
    ],
)
def test_what_is_no_box_is_named_with_row_and_place(value: object, message: str) -> None:
    with pytest.raises(RegionError, match=message) as caught:
        read_boxes(value, "xyxy", (100, 50), "row 1")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


_ANYTHING = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.floats() | strategies.integers() | strategies.text(),
    lambda inner: strategies.lists(inner, max_size=6) | strategies.dictionaries(strategies.text(), inner, max_size=3),
    max_leaves=20,
)


@hypothesis_settings(max_examples=200, deadline=None)
@for_any(value=_ANYTHING, form=strategies.sampled_from(["xyxy", "xywh", "xyxy_relative", "xywh_relative"]))
def test_any_cell_is_boxes_inside_the_image_or_a_named_refusal(value: object, form: str) -> None:
    try:
        boxes = read_boxes(value, form, (100, 50), "row 1")
    except RegionError:
        return
    assert boxes.dtype == np.float32
    assert (boxes >= 0).all()
    assert (boxes <= np.array([100, 50, 100, 50])).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(ConfigError, match=r"no box format 'yxyx'\. Known: xyxy, xywh"):
        require_format("yxyx")


def test_a_mirrored_box_lies_where_the_mirrored_image_has_it() -> None:
    boxes = np.float32([[0, 1, 10, 20], [90, 3, 100, 5]])
    np.testing.assert_array_equal(mirror_boxes(boxes, 100), [[90, 1, 100, 20], [0, 3, 10, 5]])
    np.testing.assert_array_equal(mirror_boxes(mirror_boxes(boxes, 100), 100), boxes)


# describing them


def test_a_box_that_is_a_window_gets_what_the_window_gets(grid: GridExtractor) -> None:
    images = [noise(60, 80, 1), noise(90, 60, 2), noise(60, 80, 3)]
    windows = [window_fractions((1, 2)) * np.float32([*one.size, *one.size]) for one in images]
    order = [3, 0, 4, 1]
    given = grid.encode(images, [windows[0], windows[1][order], windows[2][:1]])
    own = grid.detect(images)
    for found, wanted, rows in zip(given, own, (range(5), order, [0]), strict=True):
        for name in ("features", "class_probs"):
            ours, theirs = getattr(found, name), getattr(wanted, name)[list(rows)]
            np.testing.assert_allclose(ours.astype(np.float32), theirs.astype(np.float32), rtol=4e-3, atol=4e-3)
    np.testing.assert_array_equal(given[1].boxes, windows[1][order])


@pytest.mark.parametrize("kind", ["grid", "frcnn"])
def test_given_boxes_stand_alone_or_after_the_extractors_own(
    kind: str, grid: GridExtractor, frcnn: FrcnnExtractor
) -> None:
    encoder = grid if kind == "grid" else frcnn
    image, boxes = noise(60, 80), np.float32([[30, 20, 50, 70], [1, 2, 30, 40]])
    alone = GivenExtractor(encoder).encode([image], [boxes])[0].validate("here")
    np.testing.assert_array_equal(alone.boxes, boxes)
    both = GivenExtractor(encoder, keep_found=True).encode([image], [boxes])[0].validate("here")
    own = encoder.detect([image])[0]
    np.testing.assert_array_equal(both.boxes, np.concatenate((own.boxes, boxes)))
    for name in ("features", "class_probs"):
        wanted = np.concatenate((getattr(own, name), getattr(alone, name)))
        np.testing.assert_allclose(getattr(both, name).astype(float), wanted.astype(float), rtol=4e-3, atol=4e-3)


def test_the_info_is_its_describers_and_says_how_boxes_came(grid: GridExtractor, frcnn: FrcnnExtractor) -> None:
    made = [GivenExtractor(grid), GivenExtractor(grid, True), GivenExtractor(frcnn)]
    assert len({one.info.fingerprint for one in made} | {grid.info.fingerprint, frcnn.info.fingerprint}) == 5
    again = build_extractor(json.loads(made[1].info.to_json()))
    assert isinstance(again, GivenExtractor)
    assert (again.info, again.keep_found) == (made[1].info, True)
    with pytest.raises(ConfigError, match="not described by 'detector'"):
        build_extractor(made[0].info.to_dict() | {"settings": {"described_by": "detector"}})


def test_an_image_without_boxes_cannot_be_extracted(grid: GridExtractor) -> None:
    extractor = GivenExtractor(grid)
    assert extractor.detect([]) == []
    with pytest.raises(ConfigError, match=r"described at given boxes.*--given\.column"):
        extract_view(extractor, [noise(9, 9)], [], 0)


def test_a_mirrored_view_has_mirrored_boxes_on_the_mirrored_image(grid: GridExtractor) -> None:
    image = noise(60, 80)
    boxes = np.float32([[0, 0, 30, 80], [10, 20, 25, 60]])
    flipped = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    found = extract_view(GivenExtractor(grid), [image], [boxes], 1)[0]
    wanted = grid.encode([flipped], [np.float32([[30, 0, 60, 80], [35, 20, 50, 60]])])[0]
    np.testing.assert_array_equal(found.boxes, wanted.boxes)
    np.testing.assert_array_equal(found.features, wanted.features)


def test_a_large_image_is_made_smaller_with_its_boxes_and_its_regions_are_of_its_own_size(
    grid: GridExtractor,
) -> None:
    image, boxes = Image.new("RGB", (4000, 1000), "red"), np.float32([[1000, 100, 3000, 600]])
    small, on_it = shrink(image, boxes)
    assert small.size == (2048, 512)
    np.testing.assert_allclose(on_it, [[512, 51.2, 1536, 307.2]], rtol=1e-6)
    back = at_size(grid.encode([small], [on_it])[0], image.size)
    assert (back.width, back.height) == (4000, 1000)
    np.testing.assert_allclose(back.boxes, boxes, rtol=1e-6)
    assert shrink(small, on_it)[0] is small
    assert at_size(back, None) is back


# the command


def write_source(path: Path, boxes: list) -> Path:
    images = [file_bytes(draw("red", "circle"))] * len(boxes)
    pq.write_table(pa.table({"image": images, "title": ["a"] * len(boxes), "crops": boxes}), path)
    return path


def test_the_command_stores_given_boxes_and_lists_rows_whose_boxes_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_source(tmp_path / "a.parquet", [[[5.0, 5, 20, 30], [0, 0, 60, 80]], [], [[50.0, 0, 10, 10]]])
    words = ["extract", str(source), str(tmp_path / "s"), "--extractor", "given", "--given.column", "crops"]
    words += ["--given.format", "xywh", "--input-size", "64", "--features", "colour,head", "--device", "cpu"]
    assert main(words) == 0
    store = RegionStore.open(tmp_path / "s")
    assert store.info.name == "given"
    (regions, last) = store.take([0, 1])
    np.testing.assert_array_equal(regions.boxes, [[5, 5, 25, 35], [0, 0, 60, 80]])
    np.testing.assert_array_equal(last.boxes, [[50, 0, 60, 10]])
    (skipped,) = [json.loads(line) for line in (tmp_path / "s" / "skipped.jsonl").read_text().splitlines()]
    assert skipped["row"] == 1
    assert "has no boxes" in skipped["reason"]
    capsys.readouterr()
    assert main([*words[:-6], "--input-size", "96"]) == 2
    assert "made by another extractor" in capsys.readouterr().err


def test_boxes_as_text_in_a_csv_are_read_and_stay_pixels_of_a_large_image(tmp_path: Path) -> None:
    Image.new("RGB", (4000, 3000), "red").save(tmp_path / "big.jpg")
    (tmp_path / "metadata.csv").write_text('file_name,title,boxes\nbig.jpg,a,"[[3000, 2000, 3900, 2900]]"\n')
    words = ["extract", str(tmp_path), str(tmp_path / "s"), "--extractor", "given", "--given.column", "boxes"]
    assert main([*words, "--input-size", "64", "--text-columns", "title", "--features", "colour"]) == 0
    regions = RegionStore.open(tmp_path / "s").take([0])[0]
    assert (regions.width, regions.height) == (4000, 3000)
    np.testing.assert_allclose(regions.boxes, [[3000, 2000, 3900, 2900]], atol=0.01)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--extractor", "given"], "needs the column that holds the boxes: --given.column"),
        (["--extractor", "given", "--given.column", "crop"], "no column 'crop'. Did you mean 'crops'"),
        (["--extractor", "frcnn"], "Give --weights a file"),
        (["--extractor", "frcnn", "--weights", "/no/such.bin"], "/no/such.bin: there are no weights"),
        (
            ["--extractor", "frcnn", "--weights", "no/such"],
            "no/such: there is no such file or folder, and the Hub",
        ),
        (["--extractor", "detector"], "Give --weights a file"),
        (["--extractor", "detector", "--weights", "./nothing"], "./nothing: there are no weights"),
        (["--extractor", "yolo"], "--extractor cannot be 'yolo'"),
        (["--device", "cuda:77"], "The device 'cuda:77' cannot be used"),
        (
            ["--weights", "x"],
            "--weights, --min-boxes, --max-boxes and --threshold are read by --extractor frcnn and det",
        ),
        (["--frcnn.boxes", "refined"], "--frcnn options are read by --extractor frcnn"),
        (["--given.column", "crops"], "--given options are read by --extractor given"),
        (["--min-boxes", "0", "--extractor", "frcnn"], "min_boxes"),
    ],
)
def test_a_wrong_choice_is_an_error_of_one_line(
    tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_source(tmp_path / "a.parquet", [[[5.0, 5, 20, 30]]])
    assert main(["extract", str(source), str(tmp_path / "s"), *words]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert not (tmp_path / "s").exists()


# the ten COCO images and the boxes that their original features were made at


@pytest.mark.skipif(not COCO.is_dir(), reason="INTERBERT_DATA names no folder with butd_coco10")
def test_boxes_of_the_original_features_pass_through_with_the_right_geometry(
    tmp_path: Path, frcnn: FrcnnExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights are not here: what is checked is where the boxes lie, not what the detector says of them."""
    from interbert.extraction.columns import ColumnMapping
    from interbert.extraction.extract import extract_to_store
    from interbert.extraction.sources import open_source

    rows = coco_rows()
    assert len(rows) == 10
    path = tmp_path / "coco.jsonl"
    path.write_text("\n".join(json.dumps(row | {"boxes": row["boxes"].tolist()}) for row in rows), encoding="utf-8")
    for row in rows:
        shutil.copy(COCO / row["file"], tmp_path)
    seen: list[tuple] = []
    encode = frcnn.model.encode
    monkeypatch.setattr(
        frcnn.model, "encode", lambda pixels, boxes: seen.append((pixels.shape, boxes)) or encode(pixels, boxes)
    )
    source = open_source(str(path), ColumnMapping("file", ("title",), "title", boxes="boxes"), need_texts=False)
    extract_to_store(source, tmp_path / "s", GivenExtractor(frcnn), need_texts=False, progress=False)
    store = RegionStore.open(tmp_path / "s")
    assert len(store) == 10
    scaled = {}
    for shape, boxes in seen:
        for one in boxes:
            scaled[round(float(one.sum()), 1)] = (shape, one)
    for row, caption in zip(store.take(range(10)), store.captions(), strict=True):
        known = next(one for one in rows if one["title"] == caption.image_id)
        assert (row.width, row.height) == (known["width"], known["height"])
        assert row.boxes.shape == (36, 4)
        assert row.features.shape == (36, frcnn.info.feature_size)
        np.testing.assert_allclose(row.boxes, known["boxes"].clip(0, [row.width, row.height] * 2), atol=1e-4)
        scale = min(TINY.short_side / min(row.width, row.height), TINY.long_side / max(row.width, row.height))
        size = (round(row.width * scale), round(row.height * scale))
        wanted = row.boxes * np.array([size[0] / row.width, size[1] / row.height] * 2)
        shape, boxes = min(scaled.values(), key=lambda one: abs(one[1].numpy() - wanted).sum())
        assert (shape[3], shape[2]) == size
        np.testing.assert_allclose(boxes.numpy(), wanted, atol=1e-3)


def coco_rows() -> list[dict]:
    import base64

    rows = []
    for line in (COCO / "train2014_obj36.tsv").read_text().splitlines():
        cells = line.split("\t")
        boxes = np.frombuffer(base64.b64decode(cells[8]), np.float32).reshape(-1, 4)
        rows.append(
            {
                "title": cells[0],
                "file": f"{cells[0]}.jpg",
                "height": int(cells[1]),
                "width": int(cells[2]),
                "boxes": boxes,
            }
        )
    return rows
