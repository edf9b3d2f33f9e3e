from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import draw, file_bytes

from interbert.errors import ColumnError, SourceError
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.images import load_image
from interbert.extraction.sources import ImageSource, open_source

COLOURS = ("red", "green", "blue", "black")


def photos(folder: Path, suffix: str = ".png") -> Path:
    """A folder with a square of every colour."""
    folder.mkdir(parents=True, exist_ok=True)
    for colour in COLOURS:
        (folder / f"{colour}{suffix}").write_bytes(file_bytes(draw(colour, "square", (20, 20))))
    return folder


def table(path: Path, columns: dict[str, list], separator: str = ",") -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def parquet(path: Path, columns: dict[str, list]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def embedded() -> list[dict[str, object]]:
    return [{"bytes": file_bytes(draw(colour, "square", (20, 20))), "path": None} for colour in COLOURS]


def titles() -> list[str]:
    return [f"a {colour} square" for colour in COLOURS]


def assert_whole(source: ImageSource, texts: bool = True) -> None:
    """Every image is read, in the middle of its own colour, with its own text."""
    assert len(source) == 4
    colours = set()
    for item in source:
        assert item.problem is None
        assert item.data is not None
        pixel = load_image(item.data, item.where).getpixel((10, 10))
        colour = next(one for one in COLOURS if draw(one, "square", (20, 20)).getpixel((10, 10)) == pixel)
        colours.add(colour)
        assert item.texts == ((f"a {colour} square",) if texts else ())
    assert colours == set(COLOURS)


def test_a_parquet_file_with_embedded_images(tmp_path: Path) -> None:
    source = open_source(str(parquet(tmp_path / "a.parquet", {"image": embedded(), "title": titles()})))
    assert source.columns == ColumnMapping("image", ("title",), None, None)
    assert_whole(source)
    assert [item.row for item in source] == [0, 1, 2, 3]
    assert source[2].where == f"{tmp_path / 'a.parquet'}, row 2"


def test_a_parquet_file_with_plain_bytes(tmp_path: Path) -> None:
    raw = [one["bytes"] for one in embedded()]
    assert_whole(open_source(str(parquet(tmp_path / "a.parquet", {"photo": raw, "caption": titles()}))))


@pytest.mark.parametrize(("name", "separator"), [("a.csv", ","), ("a.tsv", "\t"), ("a.CSV", ",")])
def test_a_table_beside_its_images(tmp_path: Path, name: str, separator: str) -> None:
    photos(tmp_path / "img")
    columns = {"file": [f"img/{colour}.png" for colour in COLOURS], "title": titles()}
    assert_whole(open_source(str(table(tmp_path / name, columns, separator))))


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_json_lines_beside_their_images(tmp_path: Path, name: str) -> None:
    photos(tmp_path)
    rows = [{"path": f"{colour}.png", "text": title} for colour, title in zip(COLOURS, titles(), strict=True)]
    lines = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / name).write_text(lines, encoding="utf-8")
    assert_whole(open_source(str(tmp_path / name)))


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test_a_folder_with_metadata(tmp_path: Path, name: str) -> None:
    folder = photos(tmp_path / "p")
    columns = {"file_name": [f"{colour}.png" for colour in COLOURS], "caption": titles()}
    if name.endswith("csv"):
        table(folder / name, columns)
    elif name.endswith("jsonl"):
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        (folder / name).write_text("\n".join(map(json.dumps, rows)))
    else:
        parquet(folder / name, columns)
    assert_whole(open_source(str(folder)))


def test_a_bare_folder_of_images_needs_no_texts_to_be_searched(tmp_path: Path) -> None:
    photos(tmp_path / "p" / "deep" / "er", ".PNG")
    (tmp_path / "p" / "notes.txt").write_text("not an image")
    assert_whole(open_source(str(tmp_path / "p"), need_texts=False), texts=False)
    with pytest.raises(ColumnError, match="--text-columns"):
        open_source(str(tmp_path / "p"))


def test_a_category_that_is_called_like_a_split_hides_no_other(tmp_path: Path) -> None:
    import datasets

    kinds = ("hats", "training shoes")
    for kind in kinds:
        photos(tmp_path / "shop" / kind)
    files = [str(item.data) for item in open_source(str(tmp_path / "shop"), need_texts=False)]
    assert [sum(f"/{kind}/" in file for file in files) for kind in kinds] == [len(COLOURS)] * 2
    library = datasets.load_dataset_builder("imagefolder", data_dir=str(tmp_path / "shop"), cache_dir=str(tmp_path))
    found = [file for files in library.config.data_files.values() for file in files]
    assert len(found) == len(COLOURS), "the library takes that folder for the split train, and all others for nothing"


def test_a_folder_and_a_glob_of_parquet_files_are_read_in_order(tmp_path: Path) -> None:
    for number in range(2):
        part = slice(number * 2, number * 2 + 2)
        parquet(tmp_path / f"part-{number}.parquet", {"image": embedded()[part], "title": titles()[part]})
    for name in (str(tmp_path), str(tmp_path / "part-*.parquet")):
        source = open_source(name)
        assert_whole(source)
        assert [item.texts[0] for item in source] == titles()


def test_a_saved_data_set_is_read_by_its_split(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features({"image": datasets.Image(), "title": datasets.Value("string")})
    whole = datasets.Dataset.from_dict({"image": embedded(), "title": titles()}, features)
    whole.save_to_disk(str(tmp_path / "one"))
    assert_whole(open_source(str(tmp_path / "one")))
    datasets.DatasetDict({"a": whole, "b": whole.select([0])}).save_to_disk(str(tmp_path / "two"))
    assert_whole(open_source(str(tmp_path / "two"), split="a"))
    with pytest.raises(SourceError, match=r"--split: a, b"):
        open_source(str(tmp_path / "two"), split="c")


def test_a_column_of_lists_gives_several_texts_clean_and_once_each(tmp_path: Path) -> None:
    lists = [["  a  red\nsquare ", "a red square", "", "box"], [], [None, "green"], ["blue"]]
    source = open_source(str(parquet(tmp_path / "a.parquet", {"image": embedded(), "captions": lists})))
    assert [item.texts for item in source] == [("a red square", "box"), (), ("green",), ("blue",)]


def test_several_text_columns_say_which_text_is_whose(tmp_path: Path) -> None:
    columns = {"image": embedded(), "title": titles(), "zh": ["红", "绿", None, "a black square"]}
    mapping = ColumnMapping(texts=("title", "zh"))
    source = open_source(str(parquet(tmp_path / "a.parquet", columns)), mapping)
    assert (source[0].texts, source[0].text_fields) == (("a red square", "红"), ("title", "zh"))
    assert (source[2].texts, source[2].text_fields) == (("a blue square",), ("title",))
    assert (source[3].texts, source[3].text_fields) == (("a black square",), ("title",))


def test_missing_texts_of_a_table_are_no_texts(tmp_path: Path) -> None:
    photos(tmp_path)
    names = [f"{colour}.png" for colour in COLOURS]
    source = open_source(
        str(table(tmp_path / "a.csv", {"file": names, "title": ["red", "", "  ", "black"], "zh": [""] * 4})),
        ColumnMapping(texts=("title", "zh")),
    )
    assert [item.texts for item in source] == [("red",), (), (), ("black",)]


@pytest.mark.parametrize("title", ["None", "NA", "null", "nan", "007", "1.50"])
def test_a_cell_of_a_table_is_taken_as_it_is_written(tmp_path: Path, title: str) -> None:
    photos(tmp_path)
    columns = {"file": ["red.png", "blue.png"], "title": [title, "x"], "sku": ["007", "7"], "item_id": ["0012", ""]}
    source = open_source(str(table(tmp_path / "a.csv", columns)), ColumnMapping(texts=("title",), image_id="sku"))
    assert source[0].texts == (title,)
    assert source.image_ids() == ["007", "7"]
    assert [item.product_id for item in source] == ["0012", "7"]


def test_several_images_of_a_product_share_its_id_and_keep_their_own(tmp_path: Path) -> None:
    columns = {"image": embedded(), "title": titles(), "item_id": [7, 7, None, 8], "sku": ["a", "b", "c", "d"]}
    source = open_source(str(parquet(tmp_path / "a.parquet", columns)), ColumnMapping(image_id="sku"))
    assert [item.product_id for item in source] == ["7", "7", "c", "8"]
    assert [item.image_id for item in source] == ["a", "b", "c", "d"]
    with pytest.raises(ColumnError, match=r"'item_id' is no image id: '7' stands in 2 rows.*--product-id-column"):
        open_source(str(tmp_path / "a.parquet"), ColumnMapping(image_id="item_id"))


@pytest.mark.parametrize(
    "mapping",
    [
        ColumnMapping(image="imag"),
        ColumnMapping(texts=("titel",)),
        ColumnMapping(image_id="skus"),
        ColumnMapping(product_id="itemid"),
    ],
)
def test_a_wrong_column_name_suggests_the_right_one(tmp_path: Path, mapping: ColumnMapping) -> None:
    columns = {"image": embedded(), "title": titles(), "sku": list("abcd"), "item_id": [1, 2, 3, 4]}
    path = parquet(tmp_path / "a.parquet", columns)
    relevant = {"imag": "image", "titel": "title", "skus": "sku", "itemid": "item_id"}
    wrong = mapping.image or mapping.image_id or mapping.product_id or mapping.texts[0]
    with pytest.raises(ColumnError) as caught:
        open_source(str(path), mapping)
    assert str(caught.value).startswith(f"{path}: there is no column '{wrong}'. Did you mean '{relevant[wrong]}'?")


def test_a_source_without_images_lists_its_columns(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", {"name": ["red"], "price": [3]})
    with pytest.raises(ColumnError, match=r"no column holds images.*--image-column.*name, price"):
        open_source(str(path))


def test_texts_that_could_be_several_columns_are_asked_for(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"image": embedded(), "front": titles(), "back": titles()})
    with pytest.raises(ColumnError, match=r"--text-columns.*front, back"):
        open_source(str(path))


@pytest.mark.parametrize("name", ["gone.parquet", "gone", "a/b/gone", "photos/*.parquet", "gone.csv"])
def test_a_path_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match=r"gone|photos"):
        open_source(str(tmp_path / name))


def test_a_hub_id_that_cannot_be_had_is_an_error_of_one_line() -> None:
    with pytest.raises(SourceError, match=r"^nobody/nothing: no file or folder of that name") as caught:
        open_source("nobody/nothing")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.tsv", "a.jsonl", "a.json"])
def test_an_empty_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(SourceError, match=f"{tmp_path / name}: the file is empty"):
        open_source(str(tmp_path / name))


def test_a_table_without_rows_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("file,title\n")
    schema = pa.schema([("image", pa.binary()), ("title", pa.string())])
    pq.write_table(schema.empty_table(), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("\n\n")
    for name in ("a.csv", "a.parquet", "a.jsonl"):
        with pytest.raises(SourceError, match=str(tmp_path / name)):
            open_source(str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b'file,title\na.png,"never closed\nb.png,x\n'),
        ("a.csv", b"file,title\na.png,x\nb.png,x,y,z\n"),
        ("a.csv", "file,title\na.png,红色\n".encode("gb18030")),
        ("a.csv", bytes(range(256)) * 4),
        ("a.jsonl", b'{"file": "a.png", "title": "x"}\n{"file": '),
        ("a.jsonl", b"hello\n"),
        ("a.json", b"[1, 2"),
        ("a.parquet", b"PAR1 not really PAR1"),
    ],
    ids=["open quote", "ragged", "gb18030", "binary csv", "cut jsonl", "no jsonl", "cut json", "no parquet"],
)
def test_a_damaged_table_is_an_error_of_one_line_that_names_it(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=f"^{tmp_path / name}: ") as caught:
        open_source(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_truncated_parquet_file_is_named(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"image": embedded(), "title": titles()})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(SourceError, match=f"{path}: cannot be read .*complete"):
        open_source(str(path))


def test_a_damaged_saved_data_set_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "dataset_info.json").write_text("{")
    with pytest.raises(SourceError, match=f"{folder}: "):
        open_source(str(folder))


def test_a_file_of_an_unknown_kind_is_named_with_the_kinds_that_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(SourceError, match=r"a\.xlsx: files of this kind are not read; use \.parquet, \.csv"):
        open_source(str(tmp_path / "a.xlsx"))


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=f"{tmp_path}: holds neither images"):
        open_source(str(tmp_path))


def test_a_file_that_changed_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    photos(tmp_path)
    for title in ("first", "other"):
        table(path, {"file": ["red.png"], "title": [title]})
        assert open_source(str(path))[0].texts == (title,)


def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    photos(tmp_path / "outside")
    (tmp_path / "shop").mkdir()
    names = ["../outside/red.png", str(tmp_path / "outside" / "green.png"), "x/../../outside/blue.png"]
    source = open_source(str(table(tmp_path / "shop" / "a.csv", {"file": names, "title": titles()[:3]})))
    for item in source:
        assert item.data is None
        assert "leads out of" in (item.problem or "")


@pytest.mark.parametrize(
    "name",
    ["gone.png", None, "", "x" * 5000 + ".png", "nul\0.png"],
    ids=["gone", "none", "empty", "endless", "nul byte"],
)
def test_an_image_that_is_not_there_has_a_problem_and_the_others_are_read(tmp_path: Path, name: str | None) -> None:
    photos(tmp_path)
    rows = {"file": ["red.png", name], "title": ["t"] * 2}
    source = open_source(str(parquet(tmp_path / "a.parquet", rows)))
    image = source.open_image(0)
    assert image is not None
    assert image.size == (20, 20)
    assert source[1].data is None
    assert source[1].problem
    assert source.open_image(1) is None


def test_selected_rows_keep_their_ids_texts_and_images(tmp_path: Path) -> None:
    columns = {"image": embedded(), "title": titles(), "product_id": ["p", "q", "q", "r"]}
    source = open_source(str(parquet(tmp_path / "a.parquet", columns)))
    chosen = source.select([3, 1])
    assert len(chosen) == 2
    assert chosen.image_ids() == ["3", "1"]
    for item, row in zip(chosen, [3, 1], strict=True):
        whole = source[row]
        assert (item.image_id, item.product_id, item.texts) == (whole.image_id, whole.product_id, whole.texts)
        assert item.data == whole.data
    assert list(chosen.products_and_texts()) == [("r", ("a black square",)), ("q", ("a green square",))]


def test_a_selection_of_a_selection_is_taken_from_the_selection(tmp_path: Path) -> None:
    source = open_source(str(parquet(tmp_path / "a.parquet", {"image": embedded(), "title": titles()})))
    twice = source.select([3, 1]).select([0])
    assert twice.image_ids() == ["3"]
    assert twice[0].texts == ("a black square",)
    assert list(twice.products_and_texts()) == [("3", ("a black square",))]


def test_products_and_texts_do_not_need_the_images(tmp_path: Path) -> None:
    rows = {"file": ["gone.png"] * 3, "title": ["a", None, "c"], "product_id": [1, 1, None]}
    source = open_source(str(parquet(tmp_path / "a.parquet", rows)))
    assert list(source.products_and_texts()) == [("1", ("a",)), ("1", ()), ("2", ("c",))]
    bare = open_source(str(photos(tmp_path / "bare")), need_texts=False)
    assert list(bare.products_and_texts()) == [(str(row), ()) for row in range(4)]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_table_is_read_whatever_separates_its_columns(tmp_path: Path, separator: str) -> None:
    (tmp_path / "a.png").write_bytes(file_bytes(draw("red", "circle")))
    rows = [["image", "title", "price"], ["a.png", "a red circle", "3"]]
    (tmp_path / "shop.csv").write_text("\n".join(separator.join(row) for row in rows) + "\n")
    source = open_source(str(tmp_path / "shop.csv"))
    assert source[0].texts == ("a red circle",)


def test_a_title_in_another_language_beside_the_title_is_a_text_too(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(file_bytes(draw("red", "circle")))
    (tmp_path / "shop.csv").write_text("image,title,title_zh,title_long\na.png,red,红色,a red circle\n")
    assert open_source(str(tmp_path / "shop.csv")).columns.texts == ("title", "title_zh")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,image,title\n1,a.png,a dress, red\n2,a.png,a shoe\n", "line 2 has 4 cells, the header 3"),
        ("image,title\n", "holds no rows"),
    ],
)
def test_a_table_that_would_be_misread_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.png").write_bytes(file_bytes(draw("red", "circle")))
    (tmp_path / "shop.csv").write_text(text)
    with pytest.raises(SourceError, match=message):
        open_source(str(tmp_path / "shop.csv"))


def test_a_table_in_another_encoding_says_so(tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_bytes("image,title\na.png,Kleid für Mädchen\n".encode("latin-1"))
    with pytest.raises(SourceError, match="Save it as UTF-8"):
        open_source(str(tmp_path / "shop.csv"))


def test_a_name_with_brackets_is_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(file_bytes(draw("red", "circle")))
    (tmp_path / "shop [1].csv").write_text("image,title\na.png,red\n")
    assert len(open_source(str(tmp_path / "shop [1].csv"))) == 1


def test_a_mistyped_path_in_a_folder_that_is_there_never_goes_to_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "regions").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match="there is no such file or folder in regions"):
        open_source("regions/none")


def test_columns_are_found_by_rows_all_over_a_source(tmp_path: Path) -> None:
    photos(tmp_path)
    names = [""] * 60 + ["red.png"] * 940  # sorted: those without a photo come first
    file = table(tmp_path / "shop.csv", {"photo": names, "title": [f"thing {row}" for row in range(1000)]})
    assert open_source(str(file)).columns.image == "photo"


def test_reasons_name_no_credentials_of_a_cells_address(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        f"id,title,image\n1,a,https://me:{'secret' * 30}@host/a.png\n2,b,s3://key:secret@bucket/b.png?sig=secret\n"
        "3,c,../key:secret@host.example/c.png\n"
    )
    problems = [item.problem for item in open_source(str(tmp_path / "a.csv"))]
    assert "https://host/a.png: is an address" in str(problems[0])
    assert problems[1] == "s3://bucket/b.png: there is no such file"
    assert "secret" not in str(problems)
