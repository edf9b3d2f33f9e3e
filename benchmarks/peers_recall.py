"""What finds the hundred nearest of many vectors, ours and others, one in a process (benchmarks/peers.py starts them).

    python benchmarks/peers_recall.py prepare --work W --products N     made vectors, and the exact answers
    python benchmarks/peers_recall.py build NAME --work W               a contestant's files
    python benchmarks/peers_recall.py serve NAME --work W               answers a round for each line it reads

Vectors are those that our index holds, rounded to 16 bits, so that all have the same. A tenth of the products match the
filter. Every answer is the ids of a hundred products; ours and LanceDB's come with columns, as both read them anyway.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peers_process import Ready, disk_bytes, serve

Float32 = NDArray[np.float32]
Mask = NDArray[np.bool_]
Ask = Callable[[Float32, bool], list[int]]
"""Ids of the hundred nearest to a query, of all products or of those that the filter lets through."""

AT, _BLOCK = 100, 20_000
_SHARE = 10
_WHERE = f"share < {_SHARE}"
_WANTED = 0.98
_HNSW_LINKS, _HNSW_CONSTRUCTION, _HNSW_SEARCH = 32, 80, (100, 200, 400, 800, 1600)
_REFINED = ((20, 10), (50, 10), (100, 10), (200, 10), (1000, 10))
"""Partitions that LanceDB looks into, and so many times 100 that it compares whole."""


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
    some = np.argpartition(-np.where(shares < _SHARE, scores, -np.inf), AT, axis=1)[:, :AT]
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

        graph = faiss.IndexHNSWFlat(vectors_of(work).shape[1], _HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = _HNSW_CONSTRUCTION
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


def ours(work: Path, shares: NDArray[np.int64], memory: bool) -> tuple[Ask, str]:
    """Our index, by the disk or from memory."""
    import recall

    from interbert.search.index import ProductIndex

    searched: Any = ProductIndex.open(work / "ours").pinned()
    if memory:
        searched = recall.in_memory(searched)[0]
    return lambda query, some: [
        int(hit.id[1:]) for hit in searched.vector_search(query, AT, _WHERE if some else None)
    ], ""


def lancedb_table(work: Path, refined: bool) -> tuple[Ask, str]:
    """A plain table with the index that LanceDB makes by default; refined, the first setting that recalls enough."""
    import lancedb

    table = lancedb.connect(work / "lancedb").open_table("products")

    def ask(query: Float32, some: bool, setting: tuple[int, int] | None = None) -> list[int]:
        search = table.search(query).distance_type("cosine").select(["id", "share"]).limit(AT)
        if some:
            search = search.where(_WHERE)
        if setting is not None:
            search = search.nprobes(setting[0]).refine_factor(setting[1])
        return list(search.to_arrow()["id"].to_pylist())

    if not refined:
        return ask, "as it comes"
    chosen = _first_that_recalls(work, _REFINED, lambda setting: lambda query, some: ask(query, some, setting))
    return (lambda query, some: ask(query, some, chosen)), f"nprobes {chosen[0]}, refine_factor {chosen[1]}"


def faiss_index(work: Path, shares: NDArray[np.int64], graph: bool) -> tuple[Ask, str]:
    """Vectors in float32 in memory; a filter is a bit for each of them."""
    import faiss

    bits = faiss.IDSelectorBitmap(np.packbits(shares < _SHARE, bitorder="little"))
    index: Any
    if graph:
        index = faiss.read_index(str(work / "hnsw.faiss"))
    else:
        index = faiss.IndexFlatIP(vectors_of(work).shape[1])
        for _, part in blocks(work):
            index.add(part)

    def ask(query: Float32, some: bool, effort: int = 0) -> list[int]:
        chosen = {"sel": bits} if some else {}
        parameters = (
            faiss.SearchParametersHNSW(efSearch=effort, **chosen) if graph else faiss.SearchParameters(**chosen)
        )
        return list(index.search(query[None], AT, params=parameters)[1][0].tolist())

    if not graph:
        return ask, "exact"
    chosen = _first_that_recalls(work, _HNSW_SEARCH, lambda effort: lambda query, some: ask(query, some, effort))
    label = f"M {_HNSW_LINKS}, efConstruction {_HNSW_CONSTRUCTION}, efSearch {chosen}"
    return (lambda query, some: ask(query, some, chosen)), label


def torch_matrix(work: Path, shares: NDArray[np.int64]) -> tuple[Ask, str]:
    """One product of a matrix and the query, then the hundred largest."""
    import torch

    vectors = torch.from_numpy(np.load(work / "vectors.npy"))
    hidden = torch.from_numpy(shares >= _SHARE)

    def ask(query: Float32, some: bool) -> list[int]:
        with torch.inference_mode():
            scores = vectors @ torch.from_numpy(query)
            if some:
                scores.masked_fill_(hidden, -torch.inf)
            found: list[int] = scores.topk(AT).indices.tolist()
        return found

    return ask, "exact"


def _first_that_recalls(work: Path, settings: tuple[Any, ...], make: Callable[[Any], Ask]) -> Any:
    """The first setting whose recall without a filter is at least 0.98; else the last."""
    asked = np.load(work / "questions.npz")
    for setting in settings:
        if recall_of(make(setting), asked["queries"], asked["everything"], False) >= _WANTED:
            return setting
    return settings[-1]


def recall_of(ask: Ask, queries: Float32, exact: NDArray[np.int64], some: bool) -> float:
    """recall@100."""
    return statistics.mean(
        len(set(ask(query, some)) & set(known.tolist())) / AT for query, known in zip(queries, exact, strict=True)
    )


def opened(name: str, work: Path, shares: NDArray[np.int64]) -> tuple[Ask, str]:
    """A contestant, and how it is set."""
    if name.startswith("ours"):
        return ours(work, shares, name == "ours-memory")
    if name.startswith("lancedb"):
        return lancedb_table(work, name == "lancedb-refined")
    return torch_matrix(work, shares) if name == "torch" else faiss_index(work, shares, name == "faiss-hnsw")


FILES = {"lancedb": "lancedb", "faiss-hnsw": "hnsw.faiss", "ours": "ours", "ours-memory": "ours"}
"""What a contestant keeps on the disk, where that is more than the vectors."""


def contestant(name: str, work: Path) -> Ready:
    """Open it, ask everything once, and measure recall."""
    asked = np.load(work / "questions.npz")
    queries, shares = asked["queries"], asked["shares"]
    ask, setting = opened(name, work, shares)
    recalls = {
        "recall": recall_of(ask, queries, asked["everything"], False),
        "recall_filtered": recall_of(ask, queries, asked["some"], True),
    }
    file = work / FILES.get(name.removesuffix("-refined"), "vectors.npy")
    said = {"setting": setting, "disk": disk_bytes(file), **recalls}
    count = len(queries)
    calls = {
        "all": (lambda place: ask(queries[place], False), count),
        "filtered": (lambda place: ask(queries[place], True), count),
    }
    return Ready(said, calls)


def main() -> None:
    """Do one of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("act", choices=("prepare", "build", "serve"))
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--products", type=int, default=0)
    said = parser.parse_args()
    if said.act == "serve":
        serve(lambda: contestant(said.name, said.work))
        return
    result = prepare(said.work, said.products) if said.act == "prepare" else build(said.name, said.work)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
