from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import draw, file_bytes
from tests.regions.test_store import INFO, record

from interbert.errors import UsageError
from interbert.extraction.sources import open_source
from interbert.regions.schema import RegionRecord, Regions
from interbert.regions.store import RegionStore
from interbert.report.region_page import names_of, rows_to_show, surest, top_classes, write_region_page

BOXES = np.array([[0, 0, 30, 40], [15, 20, 60, 80]], np.float32)
PROBABILITIES = np.array([[0.1, 0.2, 0.3, 0.4], [0.05, 0.9, 0.05, 0.0]], np.float16)


def small(path: Path, view: int = 0, text: str = "<b>a red circle</b>") -> RegionStore:
    store = RegionStore.create(path, INFO)
    regions = Regions(BOXES, np.ones((2, 6), np.float16), PROBABILITIES, 60, 80)
    store.append([RegionRecord("0", "0", "", view, 0, (text,), ("title",), regions)])
    return store


def test_boxes_lie_where_they_are_and_classes_are_named_surest_first(tmp_path: Path) -> None:
    store = small(tmp_path / "s")
    write_region_page(store, [0], tmp_path / "p.html", names=["cat", "dog", "hat", "<i>"], top=2)
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    first = page.index("left:25.0%;top:25.0%;width:75.0%;height:75.0%")
    second = page.index("left:0.0%;top:0.0%;width:50.0%;height:50.0%")
    assert first < second  # the second region is surer
    assert page.index("dog <small>90%") < page.index("&lt;i&gt; <small>40%") < page.index("hat <small>30%")
    assert "&lt;b&gt;a red circle" in page
    assert "<b>a red" not in page
    assert "<i>" not in page
    write_region_page(store, [0], tmp_path / "p.html", boxes=1)
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert page.count('class="box ') == 1
    assert "1 of 2 regions" in page
    assert "class 1 <small>90%" in page


def test_images_come_from_the_source_mirrored_when_the_view_is(tmp_path: Path) -> None:
    left = draw("white", "square")
    left.paste("black", (0, 0, 20, 80))
    pq.write_table(pa.table({"image": [file_bytes(left)], "title": ["x"]}), tmp_path / "a.parquet")
    source = open_source(str(tmp_path / "a.parquet"))
    pages = []
    for view in (0, 1):
        write_region_page(small(tmp_path / f"s{view}", view), [0], tmp_path / "p.html", source)
        pages.append((tmp_path / "p.html").read_text(encoding="utf-8"))
    assert all(page.count("data:image/") == 1 for page in pages)
    assert pages[0].split("data:image/")[1][:400] != pages[1].split("data:image/")[1][:400]
    assert ", mirrored" in pages[1]


def test_rows_are_those_named_or_spread_over_the_store(tmp_path: Path) -> None:
    store = RegionStore.create(tmp_path / "s", INFO)
    store.append([record(row) for row in range(9)])
    assert rows_to_show(store, [7, 2], 3) == [7, 2]
    assert rows_to_show(store, [], 3) == [0, 4, 8]
    assert rows_to_show(store, [], 50) == list(range(9))
    with pytest.raises(UsageError, match="no row -1"):
        rows_to_show(store, [-1], 3)


def test_names_may_leave_out_the_background(tmp_path: Path) -> None:
    store = small(tmp_path / "s")
    file = tmp_path / "names.txt"
    file.write_text("dog\nhat\n红\n", encoding="utf-8")
    assert names_of(store, str(file)) == ["background", "dog", "hat", "红"]
    file.write_text("a\nb\nc\nd\n")
    assert names_of(store, str(file)) == ["a", "b", "c", "d"]
    assert names_of(store, None) is None
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="one a line in UTF-8"):
        names_of(store, str(file))


def test_regions_without_classes_keep_their_order() -> None:
    plain = Regions(BOXES, np.ones((2, 6), np.float16), None, 60, 80)
    assert surest(plain, 5) == [0, 1]
    assert top_classes(plain, 0, 3, None) == []
    assert surest(replace(plain, class_probs=PROBABILITIES), 5) == [1, 0]


def test_what_an_extractor_is_called_is_escaped(tmp_path: Path) -> None:
    store = RegionStore.create(tmp_path / "<i>", replace(INFO, name="<script>x</script>"))
    regions = Regions(BOXES, np.ones((2, 6), np.float16), PROBABILITIES, 60, 80)
    store.append([RegionRecord("<u>", "0", "", 0, 0, ("<u>",), ("title",), regions)])
    write_region_page(store, [0], tmp_path / "p.html")
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;x" in page
    assert not any(tag in page for tag in ("<script", "<i>", "<u>"))
