"""What bringing full text up to date costs after a change: LanceDB's ``optimize()`` against an index made anew.

    python benchmarks/full_text.py --full-text 100000 1000000 --scratch runs/full_text

Titles are ten made-up words with the frequencies of Zipf's law; 1,000 more are added. Results: results/full_text.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from lancedb.index import FTS
from lancedb.query import MatchQuery

from interbert.search.manifest import connect
from interbert.search.table import TERMS_TOKENIZER
from interbert.training.model_card import versions

_WORDS = 20_000
_ADDED = 1_000


def made_up_titles(count: int, seed: int) -> Any:
    """Arrow table of ids and titles."""
    frequency = 1 / (np.arange(_WORDS) + 5)
    chosen = np.random.default_rng(seed).choice(_WORDS, (count, 10), p=frequency / frequency.sum())
    words = np.array([f"w{place}" for place in range(_WORDS)])
    return pa.table(
        {"id": [f"{seed}-{row}" for row in range(count)], "title": [" ".join(words[row]) for row in chosen]}
    )


def seconds(act: Callable[[], object]) -> float:
    """Wall-clock time of a call."""
    start = time.perf_counter()
    act()
    return round(time.perf_counter() - start, 4)


def measure(count: int, scratch: Path) -> dict[str, float]:
    """Seconds of each way, and milliseconds of a query."""
    table = connect(scratch).create_table(f"titles_{count}", made_up_titles(count, 0), mode="overwrite")
    config = FTS(base_tokenizer=TERMS_TOKENIZER, stem=True, remove_stop_words=False)

    def make() -> None:
        table.create_index("title", config=config, name="title_idx", replace=True)

    found = {"titles": float(count), "first": seconds(make)}
    table.add(made_up_titles(_ADDED, 1))
    found["optimize"] = seconds(table.optimize)
    table.add(made_up_titles(_ADDED, 2))
    found["anew"] = seconds(make)
    query = table.search(MatchQuery("w3 w77 w500 w9000", "title"), query_type="fts").select(["id", "_score"]).limit(64)
    found["query_ms"] = round(1000 * float(np.median([seconds(query.to_arrow) for _ in range(20)])), 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full-text", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--scratch", type=Path, required=True)
    options = parser.parse_args()
    results = [measure(count, options.scratch) for count in options.titles]
    print(json.dumps({"results": results, "versions": versions()}))


if __name__ == "__main__":
    main()
