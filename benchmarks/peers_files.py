"""Made vectors, their exact answers, and the files of those who find the nearest (benchmarks/peers.py starts it).

    python benchmarks/peers_files.py vectors --work W --products N     our index, its vectors and the exact answers
    python benchmarks/peers_files.py lancedb|faiss-hnsw --work W       a contestant's files

Vectors are those that our index holds, rounded to 16 bits, so that all have the same.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

AT = 100
SHARE = 10
"""Of a hundred, products that match the filter."""
HNSW_LINKS, HNSW_CONSTRUCTION = 32, 80
_BLOCK = 20_000


def vectors_of(work: Path) -> Float32:
    """[n,D], on the disk."""
    found: Float32 = np.load(work / "vectors.npy", mmap_mode="r")
    return found


def blocks(work: Path) -> Iterator[tuple[int, Float32]]:
    """Vectors, 20,000 at a time, with the place of the first."""
    vectors = vectors_of(work)
    for start in range(0, len(vectors), _BLOCK):
        yield start, np.array(vectors[start : start + _BLOCK])


def prepare(work: Path, products: int) -> dict[str, Any]:
    """Our index of made products, its vectors, shares, queries and the exact answers as files; seconds of ours."""
    import recall

    from interbert.search.index import ProductIndex

    recall.begin(work / "ours", work / "common")
    started = time.perf_counter(), time.process_time()
    recall.fill(work / "ours", products)
    taken = since(started)
    index = ProductIndex.open(work / "ours")
    rows = index.table.search().select(["picture_id", "m_share", "vector"]).limit(len(index)).to_arrow()
    places = np.array([int(name[1:]) for name in rows["picture_id"].to_pylist()])
    vectors = np.empty((len(places), index.manifest.vector_size), np.float32)
    vectors[places] = index.batch_vectors(rows["vector"].combine_chunks())
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    shares = np.empty(len(places), np.int64)
    shares[places] = rows["m_share"].to_numpy()
    queries = recall.queries_of(index.manifest.vector_size)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    scores = queries @ vectors.T
    everything = np.argpartition(-scores, AT, axis=1)[:, :AT]
    some = np.argpartition(-np.where(shares < SHARE, scores, -np.inf), AT, axis=1)[:, :AT]
    np.save(work / "vectors.npy", vectors)
    np.savez(work / "questions.npz", queries=queries, shares=shares, everything=everything, some=some)
    return {"build": taken}


def build(name: str, work: Path) -> dict[str, Any]:
    """A contestant's files; nothing where vectors themselves are all it has, or they are there."""
    started = time.perf_counter(), time.process_time()
    if name == "lancedb":
        _build_lancedb(work)
    elif name == "faiss-hnsw":
        import faiss

        graph = faiss.IndexHNSWFlat(vectors_of(work).shape[1], HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = HNSW_CONSTRUCTION
        for _, part in blocks(work):
            graph.add(part)
        faiss.write_index(graph, str(work / "hnsw.faiss"))
    return {"build": since(started)}


def since(started: tuple[float, float]) -> tuple[float, float]:
    """Seconds that passed, and of the processor, all threads."""
    return time.perf_counter() - started[0], time.process_time() - started[1]


def _build_lancedb(work: Path) -> None:
    import lancedb
    import pyarrow as pa
    from lancedb.index import IvfPq

    shutil.rmtree(work / "lancedb", ignore_errors=True)
    shares = np.load(work / "questions.npz")["shares"]
    table = None
    for start, part in blocks(work):
        ids = pa.array(np.arange(start, start + len(part)))
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), part.shape[1])
        block = pa.table({"id": ids, "share": shares[start : start + len(part)], "vector": vectors})
        if table is None:
            table = lancedb.connect(work / "lancedb").create_table("products", block)
        else:
            table.add(block)
    assert table is not None
    table.create_index("vector", config=IvfPq(distance_type="cosine"))


def main() -> None:
    """Make what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=("vectors", "lancedb", "faiss-hnsw"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--products", type=int, default=0)
    said = parser.parse_args()
    result = prepare(said.work, said.products) if said.name == "vectors" else build(said.name, said.work)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
