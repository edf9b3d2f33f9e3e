"""Every reader of images and of sources against damage: an image, or a reason; nothing else happens."""

from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import draw, file_bytes
from tests.extraction.test_images_in_archives import image_tsv, samples
from tests.regions.importers.damage import HOSTILE_FIELDS, damaged, rounds
from tests.regions.importers.writers import tar

from interbert.errors import ImageError, SourceError
from interbert.extraction import images
from interbert.extraction.images import load_image
from interbert.extraction.sources import ImageSource, open_source

MEMORY = 100_000_000


def image_or_reason(data: bytes | Path) -> str | None:
    try:
        image = load_image(data, "row 3", 512)
    except ImageError as error:
        return str(error)
    assert image.mode == "RGB"
    image.tobytes()
    return None


def opened(path: str) -> ImageSource | str:
    try:
        return open_source(path, need_texts=False)
    except SourceError as error:
        return str(error)


def outcome(path: Path | str) -> tuple[int, int]:
    """How many rows of a source are images, and how many have a reason instead; one reason for a source refused."""
    source = opened(str(path))
    if isinstance(source, str):
        assert source.startswith(str(path)), source
        assert "\n" not in source
        return 0, 1
    images, reasons = 0, 0
    ids = set(source.image_ids())
    assert len(ids) == len(source)
    for item in source:
        reason = item.problem if item.data is None else image_or_reason(item.data)
        assert reason is None or reason.strip()
        images, reasons = images + (reason is None), reasons + (reason is not None)
    assert len(list(source.products_and_texts())) == len(source)
    return images, reasons


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "ICO"])
def test_damaged_images_are_images_or_have_a_reason(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 5_000_000)  # a header that says 90 million is within the real limit
    content = file_bytes(draw("red", "circle", (40, 30)), kind)
    reasons = []
    tracemalloc.start()
    try:
        for seed in rounds(150):
            reasons.append(image_or_reason(damaged(content, seed)))
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    refused = [reason for reason in reasons if reason is not None]
    assert 10 < len(refused) < len(reasons)
    assert all(reason.startswith("row 3: ") and "\n" not in reason for reason in refused)


@pytest.mark.parametrize("content", HOSTILE_FIELDS, ids=range(len(HOSTILE_FIELDS)))
def test_hostile_bytes_are_no_image(content: bytes) -> None:
    reason = image_or_reason(content)
    assert reason is not None
    assert reason.startswith("row 3: ")


def jsonl(folder: Path) -> Path:
    rows = [{"file_name": f"{n}.png", "caption": f"number {n}"} for n in range(6)]
    for row in rows:
        (folder / str(row["file_name"])).write_bytes(file_bytes(draw("red", "circle", (10, 10))))
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "a.jsonl"


def csv_table(folder: Path) -> Path:
    jsonl(folder)
    (folder / "a.csv").write_text("file_name,caption\n" + "".join(f"{n}.png,number {n}\n" for n in range(6)))
    return folder / "a.csv"


def parquet(folder: Path) -> Path:
    images = [file_bytes(draw("red", "circle", (10, 10)))] * 6
    pq.write_table(pa.table({"image": images, "title": ["t"] * 6}), folder / "a.parquet")
    return folder / "a.parquet"


SOURCES: dict[str, tuple[Callable[[Path], Path], int]] = {
    "tar": (lambda folder: tar(folder / "a.tar", samples()), 60),
    "tsv": (lambda folder: image_tsv(folder / "a.tsv"), 60),
    "parquet": (parquet, 25),
    "csv": (csv_table, 25),
    "jsonl": (jsonl, 50),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_damaged_sources_have_rows_and_reasons(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write, turns = SOURCES[kind]
    path = write(tmp_path)
    content = path.read_bytes()
    images, refused = 0, 0
    for seed in rounds(turns):
        path.write_bytes(damaged(content, seed))
        found, reasons = outcome(path) if path.stat().st_size else (0, 1)
        images, refused = images + found, refused + reasons
        assert found + reasons > 0
    assert images > 10
    assert refused > 5


def test_no_line_of_an_image_file_is_passed_over(tmp_path: Path) -> None:
    good = image_tsv(tmp_path / "a.tsv").read_bytes()
    lines = [f"h{n}\t".encode() + value for n, value in enumerate(HOSTILE_FIELDS)]
    lines += [b"no tab at all", b"\tno id", b"x" * 3000, b"three\tcells\there"]
    lines += [
        b"text\t" + base64.b64encode(b"no image"),
        b"cut\t" + base64.b64encode(file_bytes(draw("red", "circle"))[:200]),
    ]
    (tmp_path / "a.tsv").write_bytes(good + b"\n".join(lines) + b"\n")
    assert outcome(tmp_path / "a.tsv") == (4, len(lines))


def test_a_tar_header_that_claims_too_much_takes_no_memory(tmp_path: Path) -> None:
    import tarfile

    for size, kind in ((1 << 40, tarfile.REGTYPE), (1 << 30, tarfile.GNUTYPE_LONGNAME), (1 << 30, tarfile.XHDTYPE)):
        info = tarfile.TarInfo("x.jpg")
        info.size, info.type = size, kind
        good = tar(tmp_path / "a.tar", samples()).read_bytes().rstrip(b"\0")
        good += bytes(-len(good) % 512)
        (tmp_path / "a.tar").write_bytes(good + info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
        tracemalloc.start()
        try:
            assert outcome(tmp_path / "a.tar") == (4, 1)
            assert tracemalloc.get_traced_memory()[1] < MEMORY
        finally:
            tracemalloc.stop()
