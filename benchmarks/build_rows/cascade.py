"""One query through recall and joint pass, K 32, images alone: p50 of a hundred searches in one process.

100,000 made products (with --full a million), model of the mini size with random weights, the default extractor's
fifteen image tokens a product, queries of ten words. The engine is opened as users open it.
"""

from __future__ import annotations

import inspect
import statistics
import time
from pathlib import Path
from typing import Any

import made_index
import numpy as np
import row

TOLERANCES = {"products": 0.2}
"""Of the products on twenty pages so large a share may be others: random weights score many nearly alike, bf16 rounds,
and each build's index has its own partitions."""
_SIZES = {False: 100_000, True: 1_000_000}
_CANDIDATES = 32
_QUERIES, _WARM, _COMPARED = 100, 10, 20


def prepare(setting: row.Setting) -> None:
    """The index."""
    made_index.made_index(_index(setting), setting.common, _SIZES[setting.full])


def measure(setting: row.Setting) -> dict[str, Any]:
    """Searches one after the other, after some that warm up."""
    from interbert import SearchEngine

    engine: Any = SearchEngine.open(_index(setting))
    titles = next(one for one in ("full_text", "titles") if one in inspect.getsource(SearchEngine.search))
    generator = np.random.default_rng(0)
    queries = [" ".join(generator.choice(made_index._WORDS, 10, replace=False)) for _ in range(_QUERIES)]

    def search(query: str) -> list[Any]:
        return list(engine.search(query, candidates=_CANDIDATES, **{titles: False}))

    for query in queries[-_WARM:]:
        search(query)
    clock, processor, pages = [], [], []
    for query in queries:
        started, worked = time.perf_counter(), time.process_time()
        pages.append(search(query))
        clock.append(time.perf_counter() - started)
        processor.append(time.process_time() - worked)
    products = [f"{place}: {hit.product_id}" for place, page in enumerate(pages[:_COMPARED]) for hit in page]
    return {
        "value": 1e3 * statistics.median(clock),
        "unit": "ms",
        "p99_ms": 1e3 * float(np.quantile(clock, 0.99)),
        "processor_ms": 1e3 * statistics.median(processor),
        "equal": {"products": products},
    }


def _index(setting: row.Setting) -> Path:
    return setting.own / f"index_{_SIZES[setting.full]}"


if __name__ == "__main__":
    row.main(__doc__, prepare, measure)
