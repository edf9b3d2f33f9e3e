"""Search at 10,000, 100,000 and a million products: build time, bytes, recall, latency; faiss beside.

    interbert index build MODEL catalogue.parquet indexes/shop
    python benchmarks/search_scale.py indexes/shop queries.parquet --column title --scratch runs/scale --out result.md

The products are those of the index as long as there are enough. Beyond, copies of real ones, moved by noise in a random
direction so that a copy is as far from its original as some real product is from its nearest neighbour (drawn from the
real distances), with the hub correction computed anew. Their regions, thumbnails and texts are the original's, so that
bytes and reranking cost what they would. "real" is the index itself, searched approximately although it is small.
Beside p50 and p99 of the time that passes stands the median of the processor time of all threads, which other work on
the machine changes less. With --add, those products are added to each index in the end as `interbert index add` does.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peers_process import disk_bytes

from interbert.extraction.columns import ColumnMapping
from interbert.extraction.sources import open_source
from interbert.search import ann_parameters
from interbert.search.changes import add_to_index
from interbert.search.engine import SearchEngine
from interbert.search.index import ProductIndex
from interbert.search.index_model import index_encoder
from interbert.search.manifest import append_manifest, connect
from interbert.search.query_encoder import ProductEncoder
from interbert.search.vectors import to_query, to_stored
from interbert.search.writer import IndexWriter, table_schema

Float32 = NDArray[np.float32]

_BLOCK = 20_000
_AT = 100
_CASCADE = 32
_HNSW_LINKS, _HNSW_CONSTRUCTION = 32, 80
_HNSW_SEARCH = (100, 200, 400, 800)
_WANTED_RECALL = 0.98


@dataclass(frozen=True)
class Row:
    """A line of the result."""

    what: str
    products: int
    build: float
    """Seconds: writing and indexing, without encoding."""
    size: float
    """Bytes per product on disk; in memory for faiss."""
    recall: float | None
    """recall@100 against exact search."""
    recall_real: float | None
    """Share of the exact first hundred's real products that were found."""
    milliseconds: Times
    """Of recalling a hundred."""
    cascade: Times | None = None
    """Of the whole search at K=32, text to results, images alone."""

    def line(self) -> str:
        """As a row of a Markdown table."""
        shares = ["" if share is None else f"{share:.3f}" for share in (self.recall, self.recall_real)]
        cascade = "" if self.cascade is None else shown(self.cascade)
        times = shown(self.milliseconds)
        cells = [self.what, f"{self.products:,}", f"{self.build:.0f}", f"{self.size:,.0f}", *shares, times, cascade]
        return "| " + " | ".join(cells) + " |"


HEAD = (
    "| what | products | build, s | bytes per product | recall@100 | of it real ones | recall of 100, ms | "
    "cascade K=32, ms |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
)


Times = tuple[float, float, float]
"""p50 and p99 of the time that passes, and p50 of processor time, in milliseconds."""


def timed(act: Callable[[int], Any], count: int) -> Times:
    """Time of a call, after three that warm up."""
    for place in range(3):
        act(place)
    seconds, processor = [], []
    for place in range(count):
        started = time.perf_counter(), time.process_time()
        act(place)
        seconds.append(time.perf_counter() - started[0])
        processor.append(time.process_time() - started[1])
    return 1e3 * statistics.median(seconds), 1e3 * float(np.quantile(seconds, 0.99)), 1e3 * statistics.median(processor)


def shown(times: Times) -> str:
    """As ``12 / 30 (11)``."""
    digits = 0 if times[0] >= 20 else 1
    p50, p99, processor = (f"{one:.{digits}f}" for one in times)
    return f"{p50} / {p99} ({processor})"


def nearest_distances(vectors: Float32, sample: int = 2000) -> Float32:
    """Distances [sample] of real products' vectors to their nearest neighbours."""
    chosen = np.random.default_rng(0).permutation(len(vectors))[:sample]
    cosines = vectors[chosen] @ vectors.T
    cosines[np.arange(len(chosen)), chosen] = -1
    distances: Float32 = np.sqrt((2 - 2 * cosines.max(axis=1)).clip(min=0))
    return distances


def vectors_of(real: Float32, encoder: ProductEncoder, count: int) -> tuple[Float32, NDArray[np.int64]]:
    """``count`` vectors, the real ones first, and of each the real one that it comes from."""
    if count <= len(real):
        return real[:count], np.arange(count)
    config = encoder.model.config
    assert config.contrastive_size is not None, (
        "the noise is made for unit vectors: use a model with a contrastive head"
    )
    size = config.contrastive_size
    rng = np.random.default_rng(1)
    origin = rng.integers(0, len(real), count - len(real))
    distance = rng.choice(nearest_distances(real[:, :size]), len(origin))
    made = real[origin]  # the likeness of images is its origin's
    for start in range(0, len(origin), _BLOCK):
        part = slice(start, start + _BLOCK)
        noise = rng.normal(size=(len(origin[part]), size)).astype(np.float32)
        noise *= (distance[part] / np.linalg.norm(noise, axis=1))[:, None]
        units = real[origin[part], :size] + noise
        units /= np.linalg.norm(units, axis=1, keepdims=True)
        made[part, :size] = units
        if config.query_bank_size is not None:
            with torch.inference_mode():
                hubness = encoder.model.contrastive_head.hubness(torch.from_numpy(units)).numpy()
            made[part, size] = -config.hub_correction * hubness
    return np.concatenate([real, made]), np.concatenate([np.arange(len(real)), origin])


def write_index(
    path: Path, like: ProductIndex, rows: Any, vectors: Float32, origins: NDArray[np.int64]
) -> tuple[ProductIndex, float]:
    """An index of these vectors whose other columns are those of the originals; and the seconds it took."""
    import pyarrow as pa

    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    started = time.perf_counter()
    manifest = replace(like.manifest, table="products_0000", complete=True, model=like.path)
    database = connect(path)
    table = database.create_table(manifest.table, schema=table_schema(manifest))
    append_manifest(database, manifest, 0)
    os.symlink(Path(like.path, "models").resolve(), path / "models")
    for start in range(0, len(vectors), _BLOCK):
        part = slice(start, start + _BLOCK)
        names = [f"n{place}" for place in range(start, start + len(vectors[part]))]
        stored = to_stored(vectors[part], manifest.stored_size, manifest.largest_norm).astype(np.float16)
        block = rows.take(pa.array(origins[part]))
        changed = {
            "picture_id": pa.array(names),
            "product_id": pa.array(names),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(stored.reshape(-1)), manifest.stored_size),
        }
        for name, values in changed.items():
            block = block.set_column(block.column_names.index(name), name, values)
        table.add(block)
    IndexWriter(ProductIndex(path)).maintain(finished=True)
    return ProductIndex(path), time.perf_counter() - started


def exact_first(queries: Float32, vectors: Float32) -> list[set[int]]:
    """Places of the exact first hundred of every query."""
    found = []
    for start in range(0, len(queries), 20):
        scores = queries[start : start + 20] @ vectors.T
        found += [set(line.tolist()) for line in np.argpartition(-scores, _AT, axis=1)[:, :_AT]]
    return found


def shares(
    exact: Sequence[set[int]], found: Sequence[set[int]], real: int, everything: int
) -> tuple[float, float | None]:
    """recall@100, and of the real products among the exact first hundred alone."""
    recall = statistics.mean(len(one & other) / len(one) for one, other in zip(exact, found, strict=True))
    if everything <= real:
        return recall, None
    ours = [({place for place in one if place < real}, other) for one, other in zip(exact, found, strict=True)]
    total = sum(len(one) for one, _ in ours)
    return recall, sum(len(one & other) for one, other in ours) / total if total else None


def measure_index(
    index: ProductIndex, encoder: ProductEncoder, titles: list[str], queries: Float32, exact: list[set[int]], real: int
) -> dict[str, Any]:
    """Recall and latency of an index, and of the whole cascade."""
    found = [{int(hit.id[1:]) for hit in index.vector_search(query, _AT)} for query in queries]
    recall, recall_real = shares(exact, found, real, len(index))
    engine = SearchEngine(index, encoder)
    times = timed(lambda place: index.vector_search(queries[place % len(queries)], _AT), len(queries))
    for titles_too in (True, False):  # the second is what the row shows: images alone, as the goal is stated

        def search(place: int, both: bool = titles_too) -> None:
            engine.search(titles[place % len(titles)], candidates=_CASCADE, top_k=10, full_text=both)

        cascade = timed(search, min(100, len(titles)))
        print(f"  cascade, {'with' if titles_too else 'without'} full text: {shown(cascade)} ms")
    k32 = timed(lambda place: index.vector_search(queries[place % len(queries)], _CASCADE), len(queries))
    print(f"  recall of 32: {shown(k32)} ms")
    return {"recall": recall, "recall_real": recall_real, "milliseconds": times, "cascade": cascade}


def filtered(index: ProductIndex, queries: Float32, where: str) -> str:
    """What a filter does to recall and time, in words."""
    found = []
    for query in queries[:50]:
        exact = {hit.id for hit in index.vector_search(query, _AT, where, exact=True)}
        found.append(len(exact & {hit.id for hit in index.vector_search(query, _AT, where)}) / max(len(exact), 1))
    times = timed(lambda place: index.vector_search(queries[place % len(queries)], _AT, where), 50)
    matching = index.table.count_rows(index.condition(where))
    return f"  {where}: {matching:,} products, recall@100 {statistics.mean(found):.3f}, {shown(times)} ms"


def adding(path: Path, name: str, regions: str | None) -> str:
    """What it takes to add a source's products to an index, in words."""
    built = ProductIndex.open(path).manifest.mapping
    mapping = ColumnMapping(built["picture"], tuple(built["texts"]), built["picture_id"], built["product_id"])
    source = open_source(name, mapping, need_texts=False)
    started = time.perf_counter()
    changes = add_to_index(str(path), source, regions=regions)
    return f"  {changes.added:,} products added in {time.perf_counter() - started:.1f} s"


def faiss_rows(
    vectors: Float32, queries: Float32, norm: float, size: int, exact: list[set[int]], hnsw: bool
) -> Iterator[Row]:
    """Faiss flat and HNSW over the same stored vectors, in float32 in memory."""
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    stored = to_stored(vectors, size, norm)
    asked = np.stack([to_query(query, size, norm) for query in queries])
    bytes_each = 4.0 * size

    def ask(index: Any, place: int) -> None:
        index.search(asked[place % len(asked)][None], _AT)

    flat = faiss.IndexFlatL2(size)
    started = time.perf_counter()
    flat.add(stored)
    built = time.perf_counter() - started
    times = timed(partial(ask, flat), min(50, len(asked)))
    yield Row("faiss flat", len(vectors), built, bytes_each, 1.0, None, times)
    flat.reset()
    if not hnsw:
        return
    graph = faiss.IndexHNSWFlat(size, _HNSW_LINKS)
    graph.hnsw.efConstruction = _HNSW_CONSTRUCTION
    started = time.perf_counter()
    graph.add(stored)
    built = time.perf_counter() - started
    for effort in _HNSW_SEARCH:
        graph.hnsw.efSearch = effort
        found = [set(line.tolist()) for line in graph.search(asked, _AT)[1]]
        recall = statistics.mean(len(one & other) / _AT for one, other in zip(exact, found, strict=True))
        if recall >= _WANTED_RECALL:
            break
    times = timed(partial(ask, graph), len(asked))
    label = f"faiss HNSW, M {_HNSW_LINKS}, ef {_HNSW_CONSTRUCTION}/{effort}"
    yield Row(label, len(vectors), built, bytes_each + 8 * _HNSW_LINKS, recall, None, times)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", help="an index of real products, model with a contrastive head")
    parser.add_argument("queries", help="a source whose texts are the queries")
    parser.add_argument("--column", required=True, help="column of the queries")
    parser.add_argument("--count", type=int, default=200, help="so many queries")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--where", nargs="*", default=[], help="filters to measure recall under")
    parser.add_argument("--hnsw-up-to", type=int, default=1_000_000, help="largest size for which faiss HNSW is built")
    parser.add_argument(
        "--real", action=argparse.BooleanOptionalAction, default=True, help="measure the index itself too"
    )
    parser.add_argument("--add", help="a source like that of the index, whose products are added to every size")
    parser.add_argument("--add-regions", help="their region store")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the indexes; removed at the end")
    parser.add_argument("--out", type=Path, help="Markdown file")
    options = parser.parse_args()
    like = ProductIndex.open(options.index)
    encoder = index_encoder(like)
    source = open_source(options.queries, ColumnMapping(None, (options.column,)))
    titles = list(dict.fromkeys(texts[0] for _, texts in source.products_and_texts() if texts))[: options.count]
    queries = encoder.texts(titles)[1]
    rows = like.table.to_arrow()
    real = like.batch_vectors(rows["vector"].combine_chunks())
    lines = [HEAD]
    for size in [*([0] if options.real else []), *options.sizes]:
        vectors, origins = vectors_of(real, encoder, size or len(real))
        exact = exact_first(queries, vectors)
        ann_parameters.INDEX_FROM, ann_parameters._EXACT_UP_TO = (1, 1) if not size else (20_000, 20_000)
        path = options.scratch / f"index_{size}"
        index, seconds = write_index(path, like, rows, vectors, origins)
        measured = measure_index(index, encoder, titles, queries, exact, len(real))
        label = "interbert" if size else "interbert, real, approximate"
        table = [Row(label, len(index), seconds, disk_bytes(path) / len(index), **measured)]
        for where in options.where:
            print(filtered(index, queries, where), flush=True)
        if options.add:
            print(adding(path, options.add, options.add_regions), flush=True)
        shutil.rmtree(path)
        stored = like.manifest.stored_size
        if size:
            hnsw = size <= options.hnsw_up_to
            table += faiss_rows(vectors, queries, like.manifest.largest_norm, stored, exact, hnsw)
        for row in table:
            lines.append(row.line())
            print(row.line(), flush=True)
        if options.out:
            options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    shutil.rmtree(options.scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
