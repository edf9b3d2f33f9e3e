"""``samples/`` of a finished data set: for each rule a few rows that it dropped or flagged, and some that were kept.

Which rows are shown follows from a hash of their numbers or ids, so that nobody can have picked them, and the same data
set has the same samples. Kept and flagged rows are of the first training shard.
"""

from __future__ import annotations

import heapq
import json
import logging
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

from interbert.errors import InterBertError, writing
from interbert.extraction.images import load_image
from interbert.search.products import thumbnail
from interbert.utils.bounded_files import json_value, read_json, reading
from interbert.utils.files import atomic_write, replacing

SAMPLES, LIST = "samples", "samples.json"
PER_RULE, KEPT = 6, 24
"""Rows that are shown."""
_MOST_TITLE = 300

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """A row that is shown."""

    kind: Literal["dropped", "flagged", "kept"]
    rule: str
    """Empty where it was kept."""
    id: str
    title: str
    """As it came, of a row that was dropped; else the clean one."""
    title_raw: str
    """As it came."""
    detail: str
    row: int | None = None
    """Of the source, where it was dropped."""
    image: str | None = None
    """Its file in ``samples/``; None where it has none or cannot be read."""


def write_samples(folder: Path, load: Callable[[int], bytes | None]) -> list[Sample]:
    """Choose the rows, write their images as small JPEGs, and list them.

    Args:
        folder: of the finished data set: ``dropped.parquet`` and the shards.
        load: the image's file of a row of the source; None where there is none. What it raises of
            :mod:`interbert.errors` counts as none.

    Raises:
        StorageError: the disk is full or not writable.
        DataError: a file of the data set is damaged.
    """
    out = folder / SAMPLES
    with writing(out):
        out.mkdir(exist_ok=True)
    samples = []
    for number, (sample, image) in enumerate([*_dropped(folder, load), *_kept(folder)]):
        name = f"{number:04d}.jpg"
        shown = image is not None and _write_image(out / name, image)
        samples.append(Sample(**(asdict(sample) | {"image": name if shown else None})))
    atomic_write(out / LIST, json.dumps([asdict(one) for one in samples], ensure_ascii=False, indent=1) + "\n")
    return samples


def read_samples(folder: Path) -> list[Sample]:
    """What :func:`write_samples` listed; none where there is no list.

    Raises:
        DataError: the list is damaged.
    """
    file = folder / SAMPLES / LIST
    if not file.is_file():
        return []
    with reading(file, "Remove the folder, or build the data set again."):
        return [Sample(**one) for one in read_json(file)]


def _write_image(file: Path, image: bytes) -> bool:
    try:
        small = thumbnail(load_image(image, file.name))
    except InterBertError as error:
        _log.debug("no sample: %s", error)
        return False
    with replacing(file) as part:
        part.write_bytes(small)
    return True


def _dropped(folder: Path, load: Callable[[int], bytes | None]) -> Iterator[tuple[Sample, bytes | None]]:
    """Rows that each rule dropped, by rule and row."""
    import pyarrow.parquet as pq

    chosen: dict[str, list[tuple[int, int, Sample]]] = {}
    with pq.ParquetFile(folder / "dropped.parquet") as file:
        for batch in file.iter_batches(columns=["row", "id", "rule", "detail", "title"]):
            rows, rules = batch["row"].to_numpy(zero_copy_only=False), batch["rule"].to_pylist()
            for place, order in _first_of_each(rules, _mixed(rows)):
                values = {name: batch[name][place].as_py() for name in ("id", "detail", "title")}
                title = (values["title"] or "")[:_MOST_TITLE]
                row = int(rows[place])
                sample = Sample("dropped", rules[place], values["id"] or "", title, title, values["detail"] or "", row)
                chosen.setdefault(rules[place], []).append((order, row, sample))
    for rule in sorted(chosen):
        for _, row, sample in sorted(heapq.nsmallest(PER_RULE, chosen[rule]), key=lambda one: one[1]):
            yield sample, _loaded(load, row)


def _loaded(load: Callable[[int], bytes | None], row: int) -> bytes | None:
    try:
        return load(row)
    except InterBertError as error:
        _log.debug("no sample: %s", error)
        return None


def _mixed(rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A number of each row that has nothing to do with its place (the finaliser of splitmix64)."""
    mixed = rows.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def _first_of_each(rules: list[str], order: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Place and number of the few rows of each rule whose numbers are the smallest."""
    seen: dict[str, int] = {}
    for place in np.argsort(order, kind="stable").tolist():
        rule = rules[place]
        seen[rule] = seen.get(rule, 0) + 1
        if seen[rule] <= PER_RULE:
            yield place, int(order[place])


def _kept(folder: Path) -> Iterator[tuple[Sample, bytes | None]]:
    """Rows of the first training shard: a few that each rule flagged, and some as they come."""
    shard = next(iter(sorted(folder.glob("train-00000.*"))), None)
    if shard is None:
        return
    by_rule: dict[str, list[tuple[int, int]]] = {}
    for place, row in enumerate(_shard_rows(shard)):
        order = xxhash.xxh3_64_intdigest(str(row["id"]).encode("utf-8", "surrogatepass"))
        for rule in ("", *dict.fromkeys(row.get("flags") or [])):
            by_rule.setdefault(rule, []).append((order, place))
    chosen: dict[int, list[str]] = {}
    for rule, rows in by_rule.items():
        for _, place in heapq.nsmallest(PER_RULE if rule else KEPT, rows):
            chosen.setdefault(place, []).append(rule)
    found = []
    for place, row in enumerate(_shard_rows(shard)):
        title, raw = (str(row.get(name) or "")[:_MOST_TITLE] for name in ("title", "title_raw"))
        for rule in chosen.get(place, []):
            sample = Sample("flagged" if rule else "kept", rule, str(row["id"]), title, raw, "")
            found.append((sample, row.get("image")))
    yield from sorted(found, key=lambda one: (one[0].rule == "", one[0].rule))


def _shard_rows(shard: Path) -> Iterator[dict[str, Any]]:
    """Rows of a shard as it was written, with the bytes of their images."""
    return _parquet_rows(shard) if shard.suffix == ".parquet" else _tar_rows(shard)


def _parquet_rows(shard: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(shard) as file:
        names = [name for name in ("id", "title", "title_raw", "flags", "image") if name in file.schema_arrow.names]
        for batch in file.iter_batches(columns=names, batch_size=256):
            for row in batch.to_pylist():
                image = row.pop("image", None)
                yield row | {"image": image["bytes"] if image else None}


def _tar_rows(shard: Path) -> Iterator[dict[str, Any]]:
    with tarfile.open(shard) as tar:
        for _, members in groupby(tar, key=lambda member: member.name.partition(".")[0]):
            row: dict[str, Any] = {}
            for member in members:
                opened = tar.extractfile(member)
                content = b"" if opened is None else opened.read()
                suffix = member.name.partition(".")[2]
                if suffix == "json":
                    row |= json_value(content)
                else:
                    row |= {"title": content.decode("utf-8")} if suffix == "txt" else {"image": content}
            yield row
