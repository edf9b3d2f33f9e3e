"""Images of Chinese-CLIP's LMDB."""

from __future__ import annotations

import base64
import pickle
from pathlib import Path

import lmdb
import pytest
from tests.conftest import draw, file_bytes

from interbert.errors import SourceError
from interbert.extraction.sources import open_source
from interbert.regions.caption_index import CaptionIndex


def lmdb_of(folder: Path, records: dict[bytes, bytes]) -> Path:
    with lmdb.open(str(folder), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for key, value in records.items():
            transaction.put(key, value)
    return folder


def test_images_and_captions_of_a_split(tmp_path: Path) -> None:
    files = {b"1000002": file_bytes(draw("red", "circle")), b"17": file_bytes(draw("blue", "square"))}
    images = {key: base64.urlsafe_b64encode(value) for key, value in files.items()}
    folder = lmdb_of(tmp_path / "imgs", {**images, b"num_images": b"2"})
    pairs = {b"0": pickle.dumps((17, 1, "蓝色")), b"1": pickle.dumps((1000002, 2, "红色")), b"num_samples": b"2"}
    source = open_source(str(folder), captions=CaptionIndex(lmdb_of(tmp_path / "pairs", pairs)))
    assert source.image_ids() == ["1000002", "17"]
    assert [source[row].data for row in range(2)] == list(files.values())
    assert [source[row].texts for row in range(2)] == [("红色",), ("蓝色",)]
    assert pickle.loads(pickle.dumps(source))[1].data == files[b"17"]


def test_an_image_that_cannot_be_read_is_a_row_that_says_so(tmp_path: Path) -> None:
    good = base64.b64encode(file_bytes(draw("red", "circle")))
    source = open_source(str(lmdb_of(tmp_path / "imgs", {b"1": good, b"2": b"%%%"})), need_texts=False)
    assert source[0].problem is None
    assert "base64" in str(source[1].problem)


@pytest.mark.parametrize("records", [{}, {b"0": pickle.dumps((1, 2, "text"))}])
def test_another_lmdb_is_refused(tmp_path: Path, records: dict[bytes, bytes]) -> None:
    with pytest.raises(SourceError, match=r"imgs: its first records are no images in base64.*interbert import"):
        open_source(str(lmdb_of(tmp_path / "imgs", records)), need_texts=False)
