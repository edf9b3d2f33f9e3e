"""How time and memory grow with products: queries, build, refresh; and topics of many products.

    OMP_NUM_THREADS=1 python benchmarks/growth.py --work runs/growth --out growth.md
    OMP_NUM_THREADS=1 python benchmarks/growth.py --work runs/growth --sizes 10000 100000 --topics 50
    PYTHONPATH=benchmarks/build_rows python benchmarks/growth.py --work runs/growth --sizes 1000000 --act build

Products are made: vectors around 2,000 directions (build_rows/recall.py), regions cut to one token, no thumbnails. Each
size is built and measured in processes of its own. "Resident" is what opening the index and queries add to a process. A
refresh replaces 1% of the products by such with other vectors and titles, or gives 1% other prices, as `index add` does
once images are encoded; until maintenance (full text, restore point) is done. Topics are two or three of the words that
titles are made of, the model is taught topics by drawn images. Exponents are of a power of the number of products,
by least squares of logarithms, over time of the processor where two numbers stand. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from growth_changes import other_prices, replace_some, timed
from growth_plot import growth_svg
from growth_topics import topics
from peers_process import disk_bytes, resident

_HERE = Path(__file__).resolve().parent
_AT, _ROUNDS, _JUDGED = 100, 3, 20

ROWS = {
    "query_disk": "query from disk, p50, ms",
    "query_memory": "query from memory, p50, ms",
    "recall_disk": "recall@100, from disk",
    "recall_memory": "recall@100, from memory",
    "resident_disk": "resident, from disk, MB",
    "resident_memory": "resident, from memory, MB",
    "disk": "on disk, MB",
    "build": "build without encoding, s",
    "refresh": "1% of products replaced, s",
    "refresh_prices": "1% of prices, s",
    "refresh_memory": "the first query after it, from memory, ms",
    "topics": "topics built, s",
    "topics_refresh": "topics after 1% replaced, s",
}
"""Measure -> what it is, in the order of the table."""


def build(work: Path, products: int) -> dict[str, Any]:
    """The index; the time of writing and indexing, without images and model."""
    import recall

    begun, path = work / "common" / "begun", work / f"index_{products}"
    if not begun.is_dir():
        recall.begin(begun.with_name("begun.part"), work / "common")
        begun.with_name("begun.part").rename(begun)
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(begun, path)
    return {"build": timed(lambda: recall.fill(path, products)), "disk": disk_bytes(path) / 1e6}


def query(work: Path, products: int, memory: bool) -> dict[str, Any]:
    """Median of a query, recall@100 of 20, and what the process grew by."""
    import recall

    from interbert.search.index import ProductIndex

    before = resident()
    index = searched = ProductIndex.open(work / f"index_{products}").pinned()
    if memory:
        searched = recall.in_memory(index)[0]
    queries = recall.queries_of(index.manifest.vector_size)
    rounds = []
    for _ in range(_ROUNDS + 1):  # the first warms up
        taken = [timed(lambda one=one: searched.vector_search(one, _AT)) for one in queries]  # type: ignore[misc]
        rounds.append([1e3 * statistics.median(one[part] for one in taken) for part in (0, 1)])
    where = "memory" if memory else "disk"
    medians = tuple(statistics.median(one[part] for one in rounds[1:]) for part in (0, 1))
    grown = (resident() - before) / 1e6
    shares = []
    for one in queries[:_JUDGED]:
        exact = {hit.id for hit in index.vector_search(one, _AT, exact=True)}
        shares.append(len(exact & {hit.id for hit in searched.vector_search(one, _AT)}) / len(exact))
    return {f"query_{where}": medians, f"resident_{where}": grown, f"recall_{where}": statistics.mean(shares)}


def refresh(work: Path, products: int, seed: int = 0) -> dict[str, Any]:
    """Seconds of replacing 1% of the products and of the prices; then of the first query from memory."""
    import recall

    from interbert.search.index import ProductIndex
    from interbert.search.memory_contents import Contents
    from interbert.search.memory_index import MemoryIndex

    index = ProductIndex.open(work / f"index_{products}").pinned()
    contents = Contents(index)
    contents.read(index)
    found: dict[str, Any] = {"refresh": timed(lambda: replace_some(index, products, seed))}
    asked = recall.queries_of(index.manifest.vector_size)[0]

    def first() -> None:
        pinned = index.pinned()
        contents.read(pinned)
        MemoryIndex(pinned, contents).vector_search(asked, _AT)

    found["refresh_memory"] = tuple(1e3 * one for one in timed(first))
    found["refresh_prices"] = timed(lambda: other_prices(index, products, seed))
    return found


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float | None:
    """Of a power of the size, by least squares of logarithms; None with fewer than two values."""
    known = [(size, value) for size, value in zip(sizes, values, strict=True) if value > 0]
    if len(known) < 2:
        return None
    logarithms = np.log(np.array(known, float))
    return float(np.polyfit(logarithms[:, 0], logarithms[:, 1], 1)[0])


def table(results: dict[int, dict[str, Any]]) -> str:
    """Markdown: a line for each measure, a column for each size."""
    sizes = sorted(results)
    lines = [
        "| | " + " | ".join(f"{size:,}" for size in sizes) + " | exponent |",
        "| --- | " + " | ".join("---" for _ in sizes) + " | --- |",
    ]
    for name, what in ROWS.items():
        values = [results[size].get(name) for size in sizes]
        if not any(one is not None for one in values):
            continue
        slope = None if name.startswith("recall") else exponent(sizes, [_last(one) for one in values])
        last = "" if slope is None else f"{slope:.2f}"
        lines.append(f"| {what} | " + " | ".join(map(_shown, values)) + f" | {last} |")
    return "\n".join(lines)


def _last(value: Any) -> float:
    """What exponents are fitted to: the processor's time, where it is there; 0 for nothing."""
    return float(value[1] if isinstance(value, list | tuple) else value or 0)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return f"{value[0]:.3g} ({value[1]:.3g})"
    return f"{value:.3f}" if value <= 1 else f"{value:,.0f}"


def in_process(act: str, work: Path, products: int, *words: str) -> dict[str, Any]:
    """An act in a process of its own."""
    paths = [str(_HERE / "build_rows"), str(_HERE.parent / "src"), os.environ.get("PYTHONPATH", "")]
    command = [sys.executable, str(Path(__file__)), "--work", str(work), "--act", act, "--sizes", str(products), *words]
    print(f"{act}, {products:,} ...", file=sys.stderr, flush=True)
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, check=True, env=environ, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def act_here(act: str, work: Path, products: int, count: int) -> dict[str, Any]:
    """What :func:`in_process` started."""
    if act.startswith("query"):
        return query(work, products, act == "query_memory")
    return (
        {"build": build, "refresh": refresh}[act](work, products) if act != "topics" else topics(work, products, count)
    )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/growth"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--topics", type=int, default=0, help="so many topics of each size; none by default")
    parser.add_argument("--keep", action="store_true", help="leave the indexes")
    parser.add_argument("--out", type=Path, help="Markdown file of the table; a plot beside it, .svg")
    acts = ("build", "query_disk", "query_memory", "refresh", "topics")
    parser.add_argument("--act", choices=acts, help="measure this alone, of the first size, and print JSON")
    said = parser.parse_args()
    work = said.work.resolve()
    (work / "common").mkdir(parents=True, exist_ok=True)
    if said.act:
        print(json.dumps(act_here(said.act, work, said.sizes[0], said.topics)))
        return
    results: dict[int, dict[str, Any]] = {}
    for size in said.sizes:
        found = results[size] = in_process("build", work, size)
        for act in ("query_disk", *(["query_memory"] if size > 20_000 else []), "refresh"):
            found |= in_process(act, work, size)
        if said.topics:
            found |= in_process("topics", work, size, "--topics", str(said.topics))
        (work / "growth.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print(table(results), flush=True)
        if not said.keep:
            shutil.rmtree(work / f"index_{size}")
    if said.out:
        said.out.write_text(table(results) + "\n", encoding="utf-8")
        lines = {
            what: [(size, _last(results[size].get(name))) for size in sorted(results)]
            for name, what in ROWS.items()
            if not name.startswith("recall")
        }
        said.out.with_suffix(".svg").write_text(growth_svg(lines), encoding="utf-8")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
