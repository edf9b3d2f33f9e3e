"""An image is shown for what it is: by its id and the digest of its file, never by the row that it once stood in."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.conftest import draw, file_bytes

from interbert.errors import UsageError
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.sources import ImageSource, open_source
from interbert.regions.schema import CaptionRow
from interbert.report.images import Thumbnails, thumbnails

FILES = {name: file_bytes(draw(name, "square")) for name in ("red", "green", "blue", "yellow")}


def source(path: Path, names: list[str], ids: bool) -> ImageSource:
    table = {"image": [FILES[name] for name in names], "title": names} | ({"sku": names} if ids else {})
    pq.write_table(pa.table(table), path)
    return open_source(str(path), ColumnMapping("image", ("title",), "sku" if ids else None))


def caption(name: str, row: int, digest: bool = True, image_id: str | None = None) -> CaptionRow:
    sha = hashlib.sha256(FILES[name]).hexdigest() if digest else ""
    return CaptionRow(row, image_id or name, name, sha, 0, row, (name,), ("title",))


def colours(shown: Thumbnails) -> dict[str, str]:
    """The named colour that is nearest to the middle of each image."""
    exact = {"red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}
    found = {}
    for key, uri in shown.uris.items():
        image = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB")
        middle = np.array(image.getpixel((image.width // 2, image.height // 2)))
        found[key] = min(exact, key=lambda name: float(np.abs(middle - exact[name]).sum()))
    return found


@pytest.mark.parametrize("digest", [True, False])
def test_a_source_that_was_sorted_anew_shows_the_same_images(tmp_path: Path, digest: bool) -> None:
    wanted = {name: caption(name, row, digest) for row, name in enumerate(("red", "green", "blue"))}
    shown = thumbnails(source(tmp_path / "a.parquet", ["yellow", "blue", "green", "red"], ids=True), wanted)
    assert colours(shown) == {name: name for name in wanted}
    assert shown.problems == []


def test_another_file_under_an_id_is_not_shown_but_said(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"image": [FILES["yellow"], FILES["green"]], "title": ["x", "y"], "sku": ["red", "green"]}),
        tmp_path / "a.parquet",
    )
    mapping = ColumnMapping("image", ("title",), "sku")
    changed = open_source(str(tmp_path / "a.parquet"), mapping)
    shown = thumbnails(changed, {name: caption(name, row) for row, name in enumerate(("red", "green", "blue"))})
    assert colours(shown) == {"green": "green"}
    assert shown.problems == [
        "image 'red': the source has another file under this id than the one whose regions are kept",
        "image 'blue': the source has no such id",
    ]
    assert shown.require(changed) is shown
    with pytest.raises(UsageError, match="has none of the images to show"):
        thumbnails(changed, {"red": caption("red", 0)}).require(changed)


def test_a_file_that_has_another_id_by_now_is_known_by_its_digest(tmp_path: Path) -> None:
    shown = thumbnails(source(tmp_path / "a.parquet", ["red", "green"], ids=False), {"k": caption("green", 1)})
    assert colours(shown) == {"k": "green"}


def test_without_digests_a_row_is_no_name(tmp_path: Path) -> None:
    rows = source(tmp_path / "a.parquet", ["red", "green"], ids=False)
    wanted = {
        "no id": caption("green", 1, digest=False),  # its row holds whatever the source has there
        "a number": caption("blue", 7, digest=False, image_id="1"),
        "a row": caption("green", 1, digest=False, image_id="1"),
    }
    shown = thumbnails(rows, wanted)
    assert colours(shown) == {"a row": "green"}
    assert [problem.split(": ")[1] for problem in shown.problems] == [
        "the source has no such id",
        "the source has no ids but row numbers, which mean other images here",
    ]
