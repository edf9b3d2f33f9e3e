"""One query through recall and joint pass, K 32, images alone: p50 of a hundred searches in one process.

100,000 made products (with --full a million), the default extractor's fifteen image tokens a product, queries of ten
words. The engine is opened as users open it.

The model has random weights of the mini size, and a mixture of joint and dual score as `finetune retrieval` leaves one:
both are scaled to what a fashion model has among 13,497 images, the joint score to three times its fitted weight
(results/against_build.md). `rerank_depth` and `rerank_reach` are what `finetune retrieval` measures with that model on
500 validation images. Earlier builds know neither and read all candidates. `read_all_ms` is the present build's time
when it reads all, too, and `from_memory_ms` with recall from memory.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import made_index
import numpy as np
import row

TOLERANCES = {"first": 0.2, "products": 0.2}
"""So large a share of the first products of a hundred pages, and of all products on twenty, may be others: many made
products score nearly alike, bf16 rounds, and each build's index has its own partitions."""
_SIZES = {False: 100_000, True: 1_000_000}
_CANDIDATES = 32
_QUERIES, _WARM, _COMPARED = 100, 10, 20

_DUAL, _JOINT = 148.0, 0.37
"""Weights with which third and last candidate of 100,000 are 2.34 log-odds apart and a query's joint scores deviate by
0.24, as of the fashion model."""
_MEAN = 2.2
"""Of the made model's joint scores, before they are weighted."""
_MEASURED = {"rerank_depth": 8, "rerank_reach": 0.88}


def prepare(setting: row.Setting) -> None:
    """The index."""
    model = _mixed_model(setting.common / "mixed_model", made_index.made_model(setting.common / "model"))
    made_index.made_index(_index(setting), setting.common, _SIZES[setting.full], model)


def _mixed_model(folder: Path, model: Path) -> Path:
    """The made model with a dual score in its mixture."""
    if folder.is_dir():
        return folder
    from safetensors.torch import load_file, save_file

    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(model, part)
    weights = load_file(part / "model.safetensors")
    for name in ("matching_head.weight", "matching_head.bias"):
        weights[name] *= _JOINT
    save_file(weights, part / "model.safetensors", {"format": "pt"})
    config = json.loads((part / "config.json").read_text())
    # dual_prior: what earlier builds call dual_score_weight
    config |= {"dual_prior": _DUAL, "unread_score": _JOINT * _MEAN} | _MEASURED
    config.pop("dual_score_weight", None)
    (part / "config.json").write_text(json.dumps(config, indent=2))
    part.rename(folder)
    return folder


def measure(setting: row.Setting) -> dict[str, Any]:
    """Searches one after the other, after some that warm up."""
    from interbert import SearchEngine

    search = _searcher(SearchEngine.open(_index(setting)))
    generator = np.random.default_rng(0)
    queries = [" ".join(generator.choice(made_index._WORDS, 10, replace=False)) for _ in range(_QUERIES)]
    pages, clock, processor = _timed(search, queries)
    also = {}
    if "read_all" in inspect.signature(SearchEngine.search).parameters:
        _, whole, worked = _timed(search, queries, read_all=True)
        also = {"read_all_ms": 1e3 * statistics.median(whole), "read_all_processor_ms": 1e3 * statistics.median(worked)}
        also |= _from_memory(setting, queries)
    products = [f"{place}: {hit.product_id}" for place, page in enumerate(pages[:_COMPARED]) for hit in page]
    return {
        "value": 1e3 * statistics.median(clock),
        "unit": "ms",
        "p99_ms": 1e3 * float(np.quantile(clock, 0.99)),
        "processor_ms": 1e3 * statistics.median(processor),
        **also,
        "equal": {
            "first": [f"{place}: {page[0].product_id}" for place, page in enumerate(pages)],
            "products": products,
        },
    }


def _searcher(engine: Any) -> Any:
    """A search for a text over images alone."""
    titles = next(one for one in ("full_text", "titles") if one in inspect.getsource(type(engine).search))

    def search(query: str, **options: Any) -> list[Any]:
        return list(engine.search(query, candidates=_CANDIDATES, **{titles: False}, **options))

    return search


def _from_memory(setting: row.Setting, queries: list[str]) -> dict[str, float]:
    """With recall from memory, where faiss is installed."""
    if importlib.util.find_spec("faiss") is None:
        return {}
    from interbert import SearchEngine

    engine: Any = SearchEngine.open(_index(setting), recall_from="memory")
    engine.read_into_memory()
    _, clock, processor = _timed(_searcher(engine), queries)
    return {
        "from_memory_ms": 1e3 * statistics.median(clock),
        "from_memory_processor_ms": 1e3 * statistics.median(processor),
    }


def _timed(search: Any, queries: list[str], **options: Any) -> tuple[list[Any], list[float], list[float]]:
    """Pages, and seconds of each search that passed and that the processor worked."""
    for query in queries[-_WARM:]:
        search(query, **options)
    pages, clock, processor = [], [], []
    for query in queries:
        started, worked = time.perf_counter(), time.process_time()
        pages.append(search(query, **options))
        clock.append(time.perf_counter() - started)
        processor.append(time.process_time() - worked)
    return pages, clock, processor


def _index(setting: row.Setting) -> Path:
    return setting.own / f"mixed_{_SIZES[setting.full]}"


if __name__ == "__main__":
    row.main(__doc__, prepare, measure)
