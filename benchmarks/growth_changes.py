"""Changes of a made index of 1% of its products, and how long something takes (benchmarks/growth.py)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

SHARE = 0.01
_COMMIT = 1_000
Both = tuple[float, float]
"""Seconds that pass, and of the processor, all threads."""


def timed(act: Callable[[], Any]) -> Both:
    """How long it takes."""
    started, worked = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - started, time.process_time() - worked


def replace_some(index: Any, products: int, seed: int) -> None:
    """1% of the products with other vectors and the titles of others, in commits of 1,000."""
    import pyarrow as pa
    import recall

    from interbert.search.writer import IndexWriter, Product

    generator = np.random.default_rng(1_000 + seed)
    places = generator.choice(products, max(1, round(SHARE * products)), replace=False)
    vectors = recall.made(len(places), index.manifest.vector_size, 500 + seed)
    tokens = np.zeros((1, index.manifest.hidden_size), np.float32)
    writer = IndexWriter(index)
    for start in range(0, len(places), _COMMIT):
        part = slice(start, start + _COMMIT)
        titles = [f"soft {place % 97} wool scarf" for place in places[part].tolist()]
        rows = [
            Product(f"n{place}", f"n{place}", "", (title,), b"", vector, tokens)
            for place, title, vector in zip(places[part].tolist(), titles, vectors[part], strict=True)
        ]
        share = pa.array(generator.integers(0, 100, len(rows)))
        price = pa.array(generator.uniform(5, 200, len(rows)))
        writer.put(rows, {"m_price": price, "m_share": share}, known=True)
    writer.maintain()


def other_prices(index: Any, products: int, seed: int) -> None:
    """1% of the products with other prices, in one commit."""
    import pyarrow as pa

    from interbert.search.writer import IndexWriter

    generator = np.random.default_rng(2_000 + seed)
    places = generator.choice(products, max(1, round(SHARE * products)), replace=False)
    writer = IndexWriter(index.pinned())
    prices = pa.array(generator.uniform(5, 200, len(places)))
    writer.update({"picture_id": pa.array([f"n{place}" for place in places]), "m_price": prices})
    writer.maintain()
