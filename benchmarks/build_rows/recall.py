"""Recall of 100 among 200,000 made products, a million with --full: p50 in ms, without a filter and with three.

Vectors are made: directions around 2,000 centres of 48 dimensions, and queries that lie far from all of them, as texts
lie far from images. Everything else of a row is that of a drawn image, regions cut to one token, so that a million
products take 2 GB. Ours recalls from memory where faiss is installed.
"""

from __future__ import annotations

import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import made_index
import numpy as np
import row

TOLERANCES = {"recall": 0.02}
_SIZES = {False: 200_000, True: 1_000_000}
_QUERIES, _AT, _BLOCK = 60, 100, 20_000
_CENTRES, _WIDTH = 2_000, 48
_FILTERS = {"all": None, "1%": "share < 1", "10%": "share < 10", "50%": "share < 50"}


def prepare(setting: row.Setting) -> None:
    """The index."""
    index_of(_path(setting), setting.common, _SIZES[setting.full])


def index_of(path: Path, common: Path, products: int) -> None:
    """An index of so many made products; one that is there whole is left as it is."""
    finished = path.with_name(path.name + ".done")
    if finished.is_file():
        return
    begin(path, common)
    fill(path, products)
    finished.touch()


def begin(path: Path, common: Path) -> None:
    """An index of drawn images, with what building one measures and exports."""
    from interbert.extraction.sources import open_source
    from interbert.search.build import build_index

    shutil.rmtree(path, ignore_errors=True)
    catalogue = _with_shares(made_index.made_catalogue(common / "catalogue.parquet"))
    build_index(made_index.made_model(common / "model"), open_source(str(catalogue), need_texts=False), path)


def fill(path: Path, products: int) -> None:
    """Put so many made products in the place of the drawn images."""
    from interbert.search.index import ProductIndex
    from interbert.search.writer import IndexWriter

    index = ProductIndex(path)
    rows = index.table.to_arrow()
    index.table.delete("true")
    for start in range(0, products, _BLOCK):
        index.table.add(copies(rows, start, index).slice(0, products - start))
    IndexWriter(index).maintain(finished=True)


def measure(setting: row.Setting) -> dict[str, Any]:
    """Recall and time under every filter."""
    from interbert.search.index import ProductIndex

    index: Any = ProductIndex.open(_path(setting)).pinned()
    before = _resident()
    searched, note = in_memory(index)
    took = _resident() - before
    queries = queries_of(index.manifest.vector_size)
    exactly, search = (getattr(one, "vector_search", None) or one.recall for one in (index, searched))  # earlier name
    times, recalls = {}, {}
    for name, where in _FILTERS.items():
        exact = [{hit.id for hit in exactly(one, _AT, where, exact=True)} for one in queries[:20]]
        found = [{hit.id for hit in search(one, _AT, where)} for one in queries[:20]]
        recalls[name] = statistics.mean(len(one & other) / len(one) for one, other in zip(exact, found, strict=True))
        times[name] = _milliseconds(search, queries, where)
    return {
        "value": times["all"][0],
        "unit": "ms",
        "note": note,
        "p50_and_processor_ms": times,
        "recall": recalls,
        "bytes_a_product": took / len(index),
        "equal": {"recall": min(1.0, recalls["all"])},
    }


def in_memory(index: Any) -> tuple[Any, str]:
    """What ours searches: the index in memory where this build can; else the index itself."""
    try:
        from interbert.errors import MissingExtraError
        from interbert.search.memory_contents import Contents
        from interbert.search.memory_index import MemoryIndex
    except ImportError:
        return index, "disk"
    try:
        contents = Contents(index)
    except MissingExtraError:
        return index, "disk: faiss is not installed"
    contents.read(index)
    return MemoryIndex(index, contents), "memory"


def _milliseconds(search: Any, queries: np.ndarray, where: str | None) -> tuple[float, float]:
    """Medians of the time that passes and of processor time."""
    passed, processor = [], []
    for one in queries:
        started = time.perf_counter(), time.process_time()
        search(one, _AT, where)
        passed.append(1e3 * (time.perf_counter() - started[0]))
        processor.append(1e3 * (time.process_time() - started[1]))
    return statistics.median(passed), statistics.median(processor)


def _resident() -> int:
    import os

    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _path(setting: row.Setting) -> Path:
    return setting.own / f"recall_{_SIZES[setting.full]}"


def _with_shares(catalogue: Path) -> Path:
    """The catalogue with a column of whole numbers below 100."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(catalogue)
    file = catalogue.with_name("catalogue_of_shares.parquet")
    pq.write_table(table.append_column("share", pa.array([place % 100 for place in range(len(table))])), file)
    return file


def made(count: int, width: int, seed: int) -> np.ndarray:
    """Unit vectors [count,width]."""
    fixed, generator = np.random.default_rng(7), np.random.default_rng(seed)
    basis, centres = fixed.normal(size=(_WIDTH, width)), fixed.normal(size=(_CENTRES, _WIDTH))
    inner = centres[generator.integers(0, _CENTRES, count)] + 0.5 * generator.normal(size=(count, _WIDTH))
    vectors = inner @ basis + generator.normal(size=(count, width))
    unit: np.ndarray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def queries_of(width: int) -> np.ndarray:
    far = np.random.default_rng(3).normal(size=(_QUERIES, width))
    far /= np.linalg.norm(far, axis=1, keepdims=True)
    queries = 0.6 * made(_QUERIES, width, 2) + 0.8 * far
    return queries.astype(np.float32)


def copies(rows: Any, start: int, index: Any) -> Any:
    """Rows with other ids, vectors and shares."""
    import pyarrow as pa

    from interbert.search.vectors import to_stored

    manifest, generator = index.manifest, np.random.default_rng(100 + start)
    block = rows.take(pa.array(generator.integers(0, len(rows), _BLOCK)))
    stored = to_stored(made(_BLOCK, manifest.vector_size, start + 11), manifest.stored_size, manifest.largest_norm)
    share = next(column.field for column in manifest.columns if column.name == "share")
    token = [one[: 2 + manifest.hidden_size] for one in rows["regions"].to_pylist()[:1]]
    names = pa.array([f"n{place}" for place in range(start, start + _BLOCK)])
    changed = {
        "picture_id": names,
        "product_id": names,
        "vector": pa.FixedSizeListArray.from_arrays(
            pa.array(stored.astype(np.float16).reshape(-1)), manifest.stored_size
        ),
        "regions": pa.array(token * _BLOCK, block.schema.field("regions").type),
        "thumbnail": pa.array([b""] * _BLOCK, block.schema.field("thumbnail").type),
        share: pa.array(generator.integers(0, 100, _BLOCK), block.schema.field(share).type),
    }
    for name, values in changed.items():
        block = block.set_column(block.column_names.index(name), name, values)
    return block


if __name__ == "__main__":
    row.main(__doc__, prepare, measure)
