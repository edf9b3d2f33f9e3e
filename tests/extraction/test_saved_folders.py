"""Saved data sets: only regular files inside the folder are opened."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import draw, file_bytes

from interbert.errors import SourceError
from interbert.extraction.sources import open_source
from interbert.extraction.tables import read_rows

RAW = file_bytes(draw("red", "square", (20, 20)))


def saved(folder: Path, image: dict[str, Any] | None = None) -> Path:
    features = datasets.Features({"image": datasets.Image(decode=False), "title": datasets.Value("string")})
    image = image or {"bytes": RAW, "path": None}
    datasets.Dataset.from_dict({"image": [image], "title": ["a red square"]}, features).save_to_disk(str(folder))
    return folder


def changed(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_a_link_to_the_whole_folder_is_followed(tmp_path: Path) -> None:
    saved(tmp_path / "s")
    (tmp_path / "link").symlink_to(tmp_path / "s")
    assert [item.texts for item in open_source(str(tmp_path / "link"))] == [("a red square",)]


def test_files_outside_the_folder_are_not_opened(tmp_path: Path) -> None:
    other = next(saved(tmp_path / "other").glob("*.arrow"))
    for number, name in enumerate(("../other/" + other.name, str(other))):
        folder = saved(tmp_path / f"s{number}")
        changed(folder / "state.json", lambda state, name=name: state["_data_files"][0].update(filename=name))
        with pytest.raises(SourceError, match=r"which leads out of it. Such files are not opened"):
            open_source(str(folder))
    folder = saved(tmp_path / "linked")
    (file,) = folder.glob("*.arrow")
    file.unlink()
    file.symlink_to(other)
    with pytest.raises(SourceError, match="which leads out of it"):
        open_source(str(folder))


def test_splits_outside_the_folder_are_not_opened(tmp_path: Path) -> None:
    saved(tmp_path / "other")
    saved(tmp_path / "all" / "a")
    file = tmp_path / "all" / "dataset_dict.json"
    file.write_text(json.dumps({"splits": ["a"]}))
    assert [item.texts for item in open_source(str(tmp_path / "all"))] == [("a red square",)]
    for split in ("../other", str(tmp_path / "other")):
        file.write_text(json.dumps({"splits": ["a", split]}))
        with pytest.raises(SourceError, match="which leads out of it"):
            open_source(str(tmp_path / "all"), split="a")
    file.write_text(json.dumps({"splits": ["b"]}))
    with pytest.raises(SourceError, match=r"'b', which is no folder in it. Is it complete\?"):
        open_source(str(tmp_path / "all"))
    file.write_text(json.dumps({"splits": 3}))
    with pytest.raises(SourceError, match="has no list of at most 1,000 splits"):
        open_source(str(tmp_path / "all"))


@pytest.mark.parametrize("name", ["state.json", "dataset_info.json", "arrow"])
def test_a_pipe_or_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path / "s")
    (file,) = folder.glob(f"*{name}")
    file.unlink()
    if name != "dataset_info.json":  # by which a saved folder is known
        with pytest.raises(SourceError, match=r"is no regular file in it. Is it complete\?"):
            open_source(str(folder))
        os.mkfifo(file)
        with pytest.raises(SourceError, match="is no regular file in it"):
            open_source(str(folder))
    else:
        file.write_text("[]")
        with pytest.raises(SourceError, match=r"dataset_info\.json is no JSON of names"):
            open_source(str(folder))


def test_an_image_that_a_row_names_lies_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(RAW)
    for number, path in enumerate((str(tmp_path / "outside.png"), "../outside.png")):
        folder = saved(tmp_path / f"s{number}")
        table = datasets.load_from_disk(str(folder)).data.table
        bare = table.set_column(0, "image", [[{"bytes": None, "path": path}]])
        (file,) = folder.glob("*.arrow")
        file.unlink()
        with pa.ipc.new_stream(str(file), table.schema) as stream:
            stream.write_table(bare.cast(table.schema))
        (item,) = open_source(str(folder))
        assert "leads out of" in str(item.problem)


def test_an_image_that_a_row_of_the_hub_names_was_downloaded_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``datasets`` gives paths of what it downloaded, and those that the data set's owner wrote, as they are."""
    own = tmp_path / "hub" / "datasets--shop--photos"
    blob, other = own / "blobs" / "ab", tmp_path / "hub" / "datasets--else--photos" / "a.png"
    for file in (blob, own / "snapshots" / "c0" / "inside.png", other, tmp_path / "outside.png"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(RAW)
    link = own / "snapshots" / "c0" / "linked.png"
    link.symlink_to(blob)
    leading = own / "leading.png"
    leading.symlink_to(tmp_path / "outside.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    inside = [str(own / "snapshots" / "c0" / "inside.png"), str(link)]
    outside = [
        str(tmp_path / "outside.png"),
        "outside.png",
        str(other),
        str(leading),
        str(own),
        "nul\0.png",
        "x" * 5000,
    ]
    paths = [*inside, *outside]
    cells: dict[str, tuple[list[Any], Any]] = {
        "image": ([{"bytes": None, "path": path} for path in paths], datasets.Image()),
        "text": (paths, datasets.Value("string")),
    }
    for values, kind in cells.values():
        features = datasets.Features({"image": kind, "title": datasets.Value("string")})
        table = pa.table({"image": values, "title": ["a"] * len(paths)}).cast(features.arrow_schema)
        rows = datasets.Dataset(table, datasets.DatasetInfo(features=features))
        monkeypatch.setattr(datasets, "load_dataset_builder", lambda source: None)
        monkeypatch.setattr(datasets, "load_dataset", lambda source, split, rows=rows: {"train": rows})
        items = list(open_source("shop/photos"))
        assert [str(item.data) for item in items[:2]] == inside
        for item in items[2:]:
            assert item.data is None
            assert "is no file of the data set" in str(item.problem)


@pytest.mark.parametrize("form", ["list", "struct", "deep"])
@pytest.mark.parametrize("kind", ["saved", "parquet"])
def test_what_other_columns_name_is_not_opened(
    tmp_path: Path, form: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``datasets`` decodes an image inside of a list or struct with the row: it opens any file that its path names."""
    image = datasets.Image()
    (tmp_path / "outside.png").write_bytes(RAW)
    cell = {"bytes": None, "path": str(tmp_path / "outside.png")}
    feature: Any = {"list": datasets.List(image), "struct": {"a": image}}.get(form) or datasets.List(
        {"b": datasets.LargeList({"a": image})}
    )
    value: Any = {"list": [cell], "struct": {"a": cell}, "deep": [{"b": [{"a": cell}]}]}[form]
    source = with_column(tmp_path / "s", kind, feature, value)
    monkeypatch.setattr(datasets.Image, "decode_example", refused)
    rows = open_source(str(source))
    assert [item.texts for item in rows] == [("a red square",)]
    assert rows.other_columns().to_pylist() == [{"more": value}]


@pytest.mark.parametrize("kind", ["saved", "parquet"])
@pytest.mark.parametrize("feature", [datasets.Audio(), datasets.Video(), datasets.Pdf()])
def test_a_column_of_sounds_or_films_needs_no_package(tmp_path: Path, kind: str, feature: Any) -> None:
    source = with_column(tmp_path / "s", kind, feature, {"bytes": b"x", "path": None})
    assert [item.texts for item in open_source(str(source))] == [("a red square",)]


def test_json_values_of_a_column_are_still_parsed(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    datasets.Dataset.from_dict(
        {"image": [{"bytes": RAW, "path": None}], "title": ["a"], "more": [{"b": 1}]},
        datasets.Features(
            {"image": datasets.Image(decode=False), "title": datasets.Value("string"), "more": datasets.Json()}
        ),
    ).save_to_disk(str(folder))
    assert read_rows(str(folder)).rows[0]["more"] == {"b": 1}


@pytest.mark.parametrize("coded", [False, True])
def test_packed_values_are_refused_before_they_are_unpacked(tmp_path: Path, coded: bool) -> None:
    folder = saved(tmp_path / "s")
    (file,) = folder.glob("*.arrow")
    with pa.memory_map(str(file)) as mapped:
        table = pa.ipc.open_stream(mapped).read_all()
    long = pa.array(["x" * 50_000_000])
    table = table.set_column(1, "title", long.dictionary_encode() if coded else long)
    for packing in ("zstd", "lz4"):
        file.unlink(missing_ok=True)
        with pa.ipc.new_stream(str(file), table.schema, options=pa.ipc.IpcWriteOptions(compression=packing)) as stream:
            stream.write_table(table)
        assert file.stat().st_size < 300_000
        before = pa.total_allocated_bytes(), pa.default_memory_pool().max_memory()
        with pytest.raises(SourceError, match="has compressed values, which are not read"):
            open_source(str(folder))
        assert pa.default_memory_pool().max_memory() <= max(before[1], before[0] + 1_000_000)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("_data_files", [], "s: holds no rows"),
        ("_split", 9, "the saved data set cannot be read"),
        ("_format_columns", {"a": 1}, "the saved data set cannot be read"),
        ("_format_kwargs", [7], "the saved data set cannot be read"),
    ],
)
def test_a_state_with_wrong_values_is_one_line(tmp_path: Path, field: str, value: Any, message: str) -> None:
    folder = saved(tmp_path / "s")
    changed(folder / "state.json", lambda state: state.update({field: value}))
    with pytest.raises(SourceError, match=message):
        open_source(str(folder))


def refused(*_: Any, **__: Any) -> None:
    raise AssertionError("was opened")


def with_column(place: Path, kind: str, feature: Any, value: Any) -> Path:
    """A saved folder or a parquet file of one row, written past ``datasets``, which would put files into it."""
    features = datasets.Features(
        {"image": datasets.Image(decode=False), "title": datasets.Value("string"), "more": feature}
    )
    row = {"image": {"bytes": RAW, "path": None}, "title": "a red square", "more": value}
    table = pa.Table.from_pylist([row], schema=features.arrow_schema)
    if kind == "parquet":
        pq.write_table(table, place.with_suffix(".parquet"))
        return place.with_suffix(".parquet")
    datasets.Dataset.from_dict({name: [None] for name in features}, features).save_to_disk(str(place))
    (file,) = place.glob("*.arrow")
    file.unlink()
    with pa.ipc.new_stream(str(file), table.schema) as stream:
        stream.write_table(table)
    return place
