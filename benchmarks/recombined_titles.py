"""Titles of any number for benchmarks: real ones of Product1M cut to pieces and put together anew.

Half of a title's pieces come from real titles beside one that was drawn, which sell the same, and half from anywhere.
As many rows repeat an earlier title as in the whole of Product1M (13.8%), in clusters of the sizes that the real titles
have, and 5% are an earlier title with one to three small edits. The file with the real ones is not part of the project.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

PRODUCT1M = Path("../shared/data/titles_zh/product1m_dev.tsv")
REPEATED = 0.138
PLANTED = 0.05
_BESIDE = 30  # titles of the file, which is sorted by what they sell


def real_titles(path: Path = PRODUCT1M) -> list[str]:
    """The column ``title`` of Product1M's file."""
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    column = header.split("\t").index("title")
    return [line.split("\t")[column] for line in lines]


def recombined_titles(real: list[str], rows: int, seed: int) -> list[str]:
    """As many titles as ``rows``, in random order."""
    rng = random.Random(seed)
    sizes = [size for size in Counter(real).values() if size > 1]
    new = 1 - REPEATED - PLANTED
    repeats = REPEATED / new / (sum(sizes) / len(sizes) - 1)  # share of the new titles that have repeats
    planted = PLANTED / (PLANTED + new)
    titles: list[str] = []
    while len(titles) < rows:
        if titles and rng.random() < planted:
            titles.append(_edited(rng.choice(titles), real, rng))
        else:
            size = rng.choice(sizes) if rng.random() < repeats else 1
            titles.extend([_recombined(real, rng)] * size)
    del titles[rows:]
    rng.shuffle(titles)
    return titles


def _recombined(real: list[str], rng: random.Random) -> str:
    length, base = len(rng.choice(real)), rng.randrange(len(real))
    pieces: list[str] = []
    while length > 0:
        beside = rng.random() < 0.5
        source = real[(base + rng.randint(-_BESIDE, _BESIDE)) % len(real)] if beside else rng.choice(real)
        start = rng.randrange(len(source))
        pieces.append(source[start : start + min(rng.randint(2, 8), length)])
        length -= len(pieces[-1])
    return "".join(pieces)


def _edited(title: str, real: list[str], rng: random.Random) -> str:
    for _ in range(rng.randint(1, 3)):
        place, character = rng.randrange(len(title)), rng.choice(rng.choice(real))
        kind = rng.randrange(4)
        if kind == 0:
            title = title[:place] + character + title[place + 1 :]
        elif kind == 1:
            title = title[:place] + character + title[place:]
        elif kind == 2 and len(title) > 4:
            title = title[:place] + title[place + 1 :]
        else:
            title = title[place:] + title[:place]  # sellers put the same words in another order
    return title
