"""Images packed into tsv, tar and parquet files, captions that stand apart: as rows of a source, and extracted."""

from __future__ import annotations

import base64
import json
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import draw, file_bytes
from tests.regions.importers.writers import tar

from interbert.cli.main import main
from interbert.errors import ColumnError, SourceError
from interbert.extraction.images import load_image
from interbert.extraction.sources import ImageSource, open_source
from interbert.regions.caption_index import CaptionIndex
from interbert.regions.commits import SKIPPED
from interbert.regions.store import RegionStore

COLOURS = ("red", "green", "blue", "black")
SMALL = ["--input-size", "64", "--scales", "1", "--features", "colour"]


def content(colour: str) -> bytes:
    return file_bytes(draw(colour, "square", (20, 20)))


def assert_colours(source: ImageSource, texts: bool = True) -> None:
    """Every image has its own colour and its own text."""
    assert len(source) == len(COLOURS)
    for item, colour in zip(source, COLOURS, strict=True):
        assert item.data is not None, item.problem
        assert load_image(item.data, "here").getpixel((10, 10)) == draw(colour, "square", (20, 20)).getpixel((10, 10))
        assert item.texts == ((f"a {colour} square",) if texts else ())


def image_tsv(path: Path, urlsafe: bool = True, padding: bool = True) -> Path:
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    lines = [f"{100 + n}\t{encode(content(colour)).decode()}" for n, colour in enumerate(COLOURS)]
    path.write_text("\n".join(line if padding else line.rstrip("=") for line in lines) + "\n")
    return path


def queries(path: Path) -> Path:
    records = [
        {"query_id": n, "query_text": f"a {colour} square", "item_ids": [100 + n]} for n, colour in enumerate(COLOURS)
    ]
    test = {"query_id": 9, "query_text": "whose answers are held back", "item_ids": []}
    path.write_text("\n".join(map(json.dumps, [*records, test])))
    return path


def samples(first: int = 0, last: int = 4, json_only: bool = False) -> list[tuple[str, bytes]]:
    """Members of a tar as img2dataset writes them."""
    members = []
    for number, colour in list(enumerate(COLOURS))[first:last]:
        caption = f"a {colour} square"
        key = f"{number:09}"
        members += [(f"{key}.jpg", content(colour))]
        members += [] if json_only else [(f"{key}.txt", caption.encode())]
        members += [(f"{key}.json", json.dumps({"caption": caption, "status": "success", "width": 20}).encode())]
    return members


@pytest.mark.parametrize(("urlsafe", "padding"), [(True, True), (True, False), (False, True)])
def test_muge_images_and_queries(tmp_path: Path, urlsafe: bool, padding: bool) -> None:
    path = image_tsv(tmp_path / "train_imgs.tsv", urlsafe, padding)
    index = CaptionIndex(queries(tmp_path / "train_queries.jsonl"))
    source = open_source(str(path), captions=index)
    assert_colours(source)
    assert source.image_ids() == ["100", "101", "102", "103"]
    assert [texts for _, texts in source.products_and_texts()] == [(f"a {colour} square",) for colour in COLOURS]
    assert source[0].text_fields == ("query",)
    assert_colours(open_source(str(path), need_texts=False), texts=False)
    assert_colours(pickle.loads(pickle.dumps(source)))


@pytest.mark.parametrize("json_only", [False, True])
def test_tar_files_of_img2dataset(tmp_path: Path, json_only: bool) -> None:
    tar(tmp_path / "00000.tar", samples(0, 2, json_only))
    tar(tmp_path / "00001.tar", samples(2, 4, json_only))
    table = pa.table({"url": ["http://a"], "caption": ["x"], "key": ["000000000"], "status": ["success"]})
    pq.write_table(table, tmp_path / "00000.parquet")  # img2dataset's own, without images
    (tmp_path / "00000_stats.json").write_text("{}")
    for name in (str(tmp_path), str(tmp_path / "*.tar")):
        source = open_source(name)
        assert_colours(source)
        assert source.image_ids() == [f"{number:09}" for number in range(4)]
        assert source.columns.texts == ("caption",)


def test_columns_of_packed_images_are_tables_as_others(tmp_path: Path) -> None:
    red, blue = (file_bytes(draw(colour, "circle")) for colour in ("red", "blue"))
    tar(tmp_path / "shop.tar", [("0.png", red), ("0.txt", b"red"), ("1.png", blue), ("1.txt", b"blue")])
    source = open_source(str(tmp_path / "shop.tar"))
    assert source.other_columns().num_columns == 0
    assert source.other_columns(["caption"])["caption"].to_pylist() == ["red", "blue"]
    assert source.select([1]).other_columns(["caption", "key"]).to_pylist() == [{"caption": "blue", "key": "1"}]
    with pytest.raises(ColumnError, match="kind"):
        source.other_columns(["kind"])


def test_tar_members_with_long_names_and_in_folders(tmp_path: Path) -> None:
    deep = "x" * 90 + "/" + "y" * 150
    members = [(f"{deep}/{name}", data) for name, data in samples()]
    source = open_source(str(tar(tmp_path / "a.tar", members)))
    assert_colours(source)
    assert source.image_ids()[0] == f"{deep}/000000000"


def test_parquet_files_of_img2dataset_and_what_it_could_not_download(tmp_path: Path) -> None:
    for shard in range(2):
        colours = COLOURS[2 * shard : 2 * shard + 2]
        columns = {
            "url": ["http://x"] * 3,
            "key": [f"{shard}{n}" for n in range(3)],
            "caption": [*(f"a {colour} square" for colour in colours), "gone"],
            "status": ["success", "success", "failed_to_download"],
            "error_message": pa.array([None, None, "404"] if shard else [None] * 3, pa.string()),
            "jpg": [*map(content, colours), None],
        }
        pq.write_table(pa.table(columns), tmp_path / f"0000{shard}.parquet")
    source = open_source(str(tmp_path))
    assert source.columns.image == "jpg"
    assert [item.problem for item in source] == [None, None, "the image is empty"] * 2
    assert_colours(source.select([0, 1, 3, 4]))


def test_a_folder_of_coco_images_and_karpathys_captions(tmp_path: Path) -> None:
    folder = tmp_path / "val2014"
    folder.mkdir()
    images = []
    for number, colour in enumerate(COLOURS):
        name = f"COCO_val2014_{number + 1:012}.jpg"
        (folder / name).write_bytes(content(colour))
        split = "test" if number == 3 else "train"
        images.append(
            {"cocoid": number + 1, "filename": name, "split": split, "sentences": [{"raw": f"a {colour} square"}]}
        )
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"images": images}))
    assert_colours(open_source(str(folder), captions=CaptionIndex(tmp_path / "dataset_coco.json")))
    words = ["extract", str(folder), str(tmp_path / "s"), "--captions", str(tmp_path / "dataset_coco.json"), *SMALL]
    assert main([*words, "--caption-split", "train"]) == 0
    store = RegionStore.open(tmp_path / "s")
    assert [row.texts for row in store.captions()] == [(f"a {colour} square",) for colour in COLOURS[:3]]
    assert (tmp_path / "s" / SKIPPED).read_text() == ""


def test_images_of_a_caption_file_that_a_source_lacks_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for colour in COLOURS[:2]:
        draw(colour, "square").save(folder / f"{colour}.png")
    captions = tmp_path / "c.csv"
    captions.write_text(f"image,caption\n{COLOURS[0]}.png,one\n{COLOURS[1]}.png,two\ngone.png,three\nlost.png,four\n")
    words = ["extract", str(folder), str(tmp_path / "s"), "--captions", str(captions), *SMALL]
    for _ in range(2):
        assert main(words) == 0
        assert (
            f"{captions}: 2 images in it are joined to none of {folder}, such as 'gone.png'" in capsys.readouterr().out
        )


def test_captions_need_names_to_be_joined_by(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": list(map(content, COLOURS)), "id": [100, 101, 102, 103]}), tmp_path / "a.parquet")
    index = CaptionIndex(queries(tmp_path / "q.jsonl"))
    with pytest.raises(ColumnError, match=r"--image-id-column"):
        open_source(str(tmp_path / "a.parquet"), captions=index)


def test_a_damaged_tar_gives_what_is_before_the_damage_and_a_row_that_names_it(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", samples())
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"000000003.jpg") + 530])
    source = open_source(str(path))
    assert [item.problem is None for item in source] == [True, True, True, False]
    assert f"{path}: is cut off: '000000003.jpg' at byte" in (source[3].problem or "")
    words = ["extract", str(path), str(tmp_path / "s"), *SMALL]
    assert main(words) == 0
    assert len(RegionStore.open(tmp_path / "s")) == 3
    assert "what follows in it is not read" in (tmp_path / "s" / SKIPPED).read_text()


def test_dots_in_names_of_samples(tmp_path: Path) -> None:
    names = ("shoe_v1.2", "shoe_v1.3", "photo.2024.01.05", "a/b.c/x.y")
    members = []
    for name, colour in zip(names, COLOURS, strict=True):
        members += [(f"{name}.png", content(colour)), (f"{name}.txt", f"a {colour} square".encode())]
    source = open_source(str(tar(tmp_path / "a.tar", members)))
    assert_colours(source)
    assert source.image_ids() == list(names)


def test_a_name_with_a_dot_beside_one_without(tmp_path: Path) -> None:
    members = [("shoe.png", content("red")), ("shoe.txt", b"red")]
    members += [("shoe.v2.png", content("blue")), ("shoe.v2.txt", b"blue"), ("shoe.seg.png", content("green"))]
    members += [("hat.jpg", content("black")), ("hat.png", content("green")), ("hat.txt", b"black"), ("hat.cls", b"1")]
    source = open_source(str(tar(tmp_path / "a.tar", members)))
    assert [(item.image_id, item.texts, item.data) for item in source] == [
        ("shoe", ("red",), content("red")),
        ("shoe.v2", ("blue",), content("blue")),
        ("shoe.seg.png", (), None),
        ("hat", ("black",), content("black")),
        ("hat.png", (), None),
    ]
    assert source[2].problem == "'shoe.seg.png' is not the image of its sample 'shoe', but a further part of it"
    assert source[4].problem == "'hat.png' is not the image of its sample 'hat', but a further part of it"


@pytest.mark.parametrize("folders", [False, True])
def test_shards_that_each_count_from_zero(tmp_path: Path, folders: bool) -> None:
    names = ["x/shard.tar", "y/shard.tar"] if folders else ["shard-0.tar", "shard-1.tar"]
    for number, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pairs = enumerate(COLOURS[2 * number : 2 * number + 2])
        tar(
            tmp_path / name,
            [
                (f"{n:06}.{end}", data)
                for n, c in pairs
                for end, data in (("jpg", content(c)), ("txt", f"a {c} square".encode()))
            ],
        )
    source = open_source(str(tmp_path / ("*/*.tar" if folders else "*.tar")))
    assert_colours(source)
    stems = [name.removesuffix(".tar") for name in names]
    assert source.image_ids() == [f"{stem}/{n:06}" for stem in stems for n in range(2)]
    assert open_source(str(tmp_path / names[0])).image_ids() == ["000000", "000001"]


def test_a_key_that_stands_twice_in_a_tar_is_named_with_a_remedy_that_helps(tmp_path: Path) -> None:
    members = [("a.jpg", content("red")), ("b.jpg", content("blue")), ("a.txt", b"red"), ("b.txt", b"blue")]
    with pytest.raises(ColumnError, match=r"'shop/a' stands in 2 rows\. The files of a sample must stand together"):
        open_source(str(tar(tmp_path / "shop.tar", members)))


def ofa(path: Path, *lines: tuple[str, str, str, str], urlsafe: bool = False) -> Path:
    """OFA's five columns: uniq-id, image-id, caption, labels, and the colour of an image."""
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    rows = ["\t".join((str(n), *line[:3], encode(content(line[3])).decode())) for n, line in enumerate(lines, 162365)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("urlsafe", [False, True])
def test_ofas_five_columns_are_images_with_captions(tmp_path: Path, urlsafe: bool) -> None:
    lines = [(f"{12450 + n}", f"a {colour} square", "sky&&dock", colour) for n, colour in enumerate(COLOURS)]
    source = open_source(str(ofa(tmp_path / "caption_stage1_train.tsv", *lines, urlsafe=urlsafe)))
    assert_colours(source)
    assert source.image_ids() == ["12450", "12451", "12452", "12453"]
    assert source.columns.texts == ("caption",)
    assert source.other_columns()["labels"].to_pylist() == ["sky&&dock"] * 4
    assert main(["extract", str(tmp_path / "caption_stage1_train.tsv"), str(tmp_path / "s"), *SMALL]) == 0
    store = RegionStore.open(tmp_path / "s")
    assert [row.texts for row in store.captions()] == [(f"a {colour} square",) for colour in COLOURS]


def test_lines_of_one_image_are_one_row_with_all_captions(tmp_path: Path) -> None:
    lines = [("7", "one", "x", "red"), ("8", 'a "b" && c', "", "blue"), ("7", "two", "x", "red"), ("7", "", "", "red")]
    source = open_source(str(ofa(tmp_path / "a.tsv", *lines, ("8", "lost", "", "green"))))
    assert [(item.image_id, item.texts) for item in source][:2] == [("7", ("one", "two")), ("8", ('a "b"', "c"))]
    assert source[2].problem == "another image has its id '8'"
    assert source[2].image_id.startswith("line at byte")
    assert len(source) == 3


def test_a_cut_line_and_one_without_an_id_are_rows_that_say_so(tmp_path: Path) -> None:
    path = ofa(tmp_path / "a.tsv", ("7", "one", "", "red"), ("", "two", "", "blue"))
    path.write_text(path.read_text() + "1\t2\tcut\n")
    problems = [item.problem for item in open_source(str(path))]
    assert problems == [None, "has no image id: 'image_id' is empty. Fill it", "the line has 3 cells, not 5"]


def test_a_tsv_of_images_of_another_kind_says_so_in_short(tmp_path: Path) -> None:
    big = base64.b64encode(content("red") + bytes(300_000)).decode()
    (tmp_path / "vqa.tsv").write_text(f"1\t2\tquestion\tanswer\tlabels\t{big}\n")
    with pytest.raises(SourceError, match=r"vqa\.tsv: its lines have 6 cells, the last an image in base64") as caught:
        open_source(str(tmp_path / "vqa.tsv"))
    assert len(str(caught.value)) < 400


def test_a_tar_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"hello" * 300)
    source = open_source(str(tmp_path / "a.tar"), need_texts=False)
    assert "has no header at byte 0" in (source[0].problem or "")
    (tmp_path / "b.tar").write_bytes(b"")
    with pytest.raises(SourceError, match="the file is empty"):
        open_source(str(tmp_path / "b.tar"))
