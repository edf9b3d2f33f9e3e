"""Files beside the regions against damage: captions and sizes are read, or the file is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.regions.importers import writers
from tests.regions.importers.damage import damaged, refusal, rounds
from tests.regions.importers.writers import Foreign, images

from interbert.regions.caption_index import CaptionIndex
from interbert.regions.importers.sizes import SizeIndex


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (writers.karpathy, "c.json"),
        (writers.coco_annotations, "c.json"),
        (writers.caption_json, "c.json"),
        (writers.jsonline, "c.jsonl"),
        (writers.muge_queries, "c.jsonl"),
        (writers.flickr_token, "c.token"),
        (writers.flickr_csv, "c.csv"),
        (writers.plain_csv, "c.csv"),
    ],
)
def test_a_damaged_caption_file_is_read_or_named(
    tmp_path: Path, write: Callable[[Path, list[Foreign]], Path], name: str
) -> None:
    path = write(tmp_path / name, images(6))
    content = path.read_bytes()
    refused = 0
    for seed in rounds(100):
        path.write_bytes(damaged(content, seed))
        refused += refusal(path, CaptionIndex, path)[1] is not None
    assert refused > 10


@pytest.mark.parametrize("name", ["s.json", "s.csv", "s.hw.tsv"])
def test_a_damaged_file_of_sizes_is_read_or_named(tmp_path: Path, name: str) -> None:
    contents = {
        "s.json": json.dumps({"images": [{"id": n, "width": 5, "height": 6} for n in range(9)]}),
        "s.csv": "id,width,height\n" + "".join(f"{n},5,6\n" for n in range(9)),
        "s.hw.tsv": "".join(f'{n}\t[{{"height": 6, "width": 5}}]\n' for n in range(9)),
    }
    path = tmp_path / name
    path.write_text(contents[name])
    assert SizeIndex(str(path)).find("3") == (5, 6)
    refused = 0
    for seed in rounds(100):
        path.write_bytes(damaged(contents[name].encode(), seed))
        refused += refusal(path, SizeIndex, str(path))[1] is not None
    assert refused > 10
