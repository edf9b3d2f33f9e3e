"""What finds the hundred nearest of many vectors, ours and others, one in a process (benchmarks/peers.py starts them).

    python benchmarks/peers_recall.py NAME --work W     answers a round for each line it reads

Files are those of peers_files.py. A tenth of the products match the filter. Every answer is the ids of a hundred
products; ours and LanceDB's come with columns, as both read them anyway.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peers_files import AT, HNSW_CONSTRUCTION, HNSW_LINKS, SHARE, blocks, vectors_of
from peers_process import Ready, disk_bytes, serve

Float32 = NDArray[np.float32]
Mask = NDArray[np.bool_]
Ask = Callable[[Float32, bool], list[int]]
"""Ids of the hundred nearest to a query, of all products or of those that the filter lets through."""

_WHERE = f"share < {SHARE}"
_WANTED = 0.98
_TRIED = 20
"""Queries that a setting is chosen by."""
_ROUND = 30
"""Queries of a round."""
_HNSW_SEARCH = (100, 200, 400, 800, 1600)
_REFINED = ((20, 10), (100, 10), (100, 50))
"""Partitions that LanceDB looks into, and so many times 100 that it compares whole."""


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
    faiss: Any = importlib.import_module("faiss")
    bits = faiss.IDSelectorBitmap(np.packbits(shares < SHARE, bitorder="little"))
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
    label = f"M {HNSW_LINKS}, efConstruction {HNSW_CONSTRUCTION}, efSearch {chosen}"
    return (lambda query, some: ask(query, some, chosen)), label


def torch_matrix(work: Path, shares: NDArray[np.int64]) -> tuple[Ask, str]:
    """One product of a matrix and the query, then the hundred largest."""
    import torch

    vectors = torch.from_numpy(np.load(work / "vectors.npy"))
    hidden = torch.from_numpy(shares >= SHARE)

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
        if recall_of(make(setting), asked["queries"][:_TRIED], asked["everything"][:_TRIED], False) >= _WANTED:
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
    count = min(_ROUND, len(queries))
    calls = {
        "all": (lambda place: ask(queries[place], False), count),
        "filtered": (lambda place: ask(queries[place], True), count),
    }
    return Ready(said, calls)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--work", type=Path, required=True)
    said = parser.parse_args()
    serve(lambda: contestant(said.name, said.work))


if __name__ == "__main__":
    main()
