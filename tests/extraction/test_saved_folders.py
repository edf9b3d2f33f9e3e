"""Saved data sets: only regular files inside the folder are opened."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest
from tests.conftest import draw, file_bytes

from interbert.errors import SourceError
from interbert.extraction.sources import open_source

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


def test_a_picture_that_a_row_names_lies_in_the_folder(tmp_path: Path) -> None:
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
