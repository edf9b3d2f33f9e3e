"""What the vocabulary of a catalogue costs: counting the words of titles, keeping them, finding the closest.

    python benchmarks/shopper_vocabulary.py 12497 100000 1000000 --scratch runs/shoppers

Titles are ten made-up words with the frequencies of Zipf's law, and a fifth have one word of their own.
Results: results/shopper_queries.md.
"""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from full_text import made_up_titles

from interbert.search.manifest import connect
from interbert.search.spelling import Vocabulary
from interbert.training.model_card import versions

_OWN_WORD = 5
"""Of so many titles one has a word that no other has."""


class Titles:
    """As much of an index as the vocabulary reads."""

    def __init__(self, count: int, scratch: Path) -> None:
        letters = str.maketrans("0123456789", "abcdefghij")
        texts = [title.translate(letters) for title in made_up_titles(count, 0)["title"].to_pylist()]
        for row in range(0, count, _OWN_WORD):
            texts[row] += " own" + str(row).translate(letters)
        self._table = connect(scratch).create_table(f"words_{count}", pa.table({"fulltext": texts}), mode="overwrite")

    def counts_terms(self) -> bool:
        """Yes."""
        return True

    def scan(self, fields: Sequence[str], batch_rows: int) -> Iterator[Any]:
        """As of an index."""
        yield from self._table.search().select(list(fields)).limit(None).to_batches(batch_rows)


def measure(count: int, scratch: Path) -> dict[str, float]:
    """Seconds and memory of counting, and milliseconds of finding the closest word."""
    titles: Any = Titles(count, scratch)
    start = time.perf_counter()
    Vocabulary.of(titles)
    seconds = time.perf_counter() - start
    tracemalloc.start()
    made = Vocabulary.of(titles)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    unknown = [f"{word}q" for word in list(made.counts)[:200]]
    start = time.perf_counter()
    for word in unknown:
        made.closest(word)
    each = 1000 * (time.perf_counter() - start) / len(unknown)
    numbers = {"seconds": round(seconds, 2), "kept_mib": round(kept / 2**20, 1), "closest_ms": round(each, 2)}
    return {"titles": count, "words": len(made), **numbers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", type=int, nargs="+")
    parser.add_argument("--scratch", type=Path, required=True)
    options = parser.parse_args()
    for count in options.counts:
        print(json.dumps(measure(count, options.scratch)), flush=True)
    print(json.dumps(versions()))


if __name__ == "__main__":
    main()
