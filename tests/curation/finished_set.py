"""A finished data set, written by hand in the shape that a build leaves."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from tests.conftest import shop_rows

ROWS = shop_rows()
SPLITS = {"train": ROWS[:12], "validation": ROWS[12:15], "test": ROWS[15:18]}
RULES = {
    "title_too_short": {"dropped": 8, "flagged": 0, "stripped": 0},
    "image_unreadable": {"dropped": 1, "flagged": 0, "stripped": 0},
    "superlative": {"dropped": 0, "flagged": 6, "stripped": 0},
    "promotional_word": {"dropped": 0, "flagged": 0, "stripped": 2},
    "image_blank": {"dropped": 0, "flagged": 0, "stripped": 0},
}
EVIL = "<script>alert(1)</script>"


def columns(place: int, row: dict[str, object]) -> dict[str, object]:
    return {
        "title": row["title_zh"],
        "title_raw": f"正品 {row['title_zh']}",
        "id": row["id"],
        "group": place,
        "category": str(row["id"]).split("-")[1],
        "price": 1.5,
        "sale": place % 2 == 0,
        "flags": ["superlative"] if place % 2 else [],
    }


def write_parquet(path: Path, rows: list[dict[str, object]]) -> None:
    listed = [{"image": row["image"], **columns(place, row)} for place, row in enumerate(rows)]
    plain = pa.Table.from_pylist([{key: value for key, value in row.items() if key != "image"} for row in listed])
    schema = datasets.Features({"image": datasets.Image(), **datasets.Features.from_arrow_schema(plain.schema)})
    pq.write_table(pa.Table.from_pylist(listed, schema=schema.arrow_schema), path)


def write_tar(path: Path, rows: list[dict[str, object]]) -> None:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for place, row in enumerate(rows):
            values = columns(place, row)
            title = str(values.pop("title")).encode()
            files = {"png": row["image"]["bytes"], "txt": title, "json": json.dumps(values).encode()}  # type: ignore[index]
            for suffix, content in files.items():
                member = tarfile.TarInfo(f"{place:010d}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def finished_set(folder: Path, suffix: str = ".parquet") -> Path:
    folder.mkdir()
    shards = []
    for split, rows in SPLITS.items():
        file = folder / f"{split}-00000{suffix}"
        (write_parquet if suffix == ".parquet" else write_tar)(file, rows)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        shards.append(
            {"file": file.name, "split": split, "rows": len(rows), "bytes": file.stat().st_size, "sha256": digest}
        )
    dropped = [
        {
            "row": 18 + n,
            "id": f"s{n}",
            "where": f"a, row {n}",
            "rule": "title_too_short",
            "detail": "1 of 4",
            "title": "好",
        }
        for n in range(8)
    ]
    dropped.append({**dropped[0], "row": 40, "rule": "image_unreadable", "detail": "", "title": EVIL})
    pq.write_table(pa.Table.from_pylist(dropped), folder / "dropped.parquet")
    report = {
        "rows": 27,
        "kept": 18,
        "dropped": 9,
        "rules": RULES,
        "groups": 17,
        "largest_group": 2,
        "splits": {split: len(rows) for split, rows in SPLITS.items()},
        "lengths": {"title": {"7": 12, "9": 6}},
    }
    recipe = {"title_rules": {"language": "zh", "block_list": None}, "exclude": ["/home/somebody/test.parquet"]}
    manifest = {"recipe": recipe, "versions": {"interbert": "0.1.0"}, "format": suffix[1:], "shards": shards}
    (folder / "report.json").write_text(json.dumps(report))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def load(row: int) -> bytes | None:
    """Image of a row of the source, as a build has it."""
    return b"no image" if row == 40 else ROWS[row - 18]["image"]["bytes"]  # type: ignore[index]
