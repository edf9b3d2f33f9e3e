"""Near-duplicate titles: ours against datasketch's MinHashLSH in one run, and both against brute force.

    python benchmarks/near_duplicates.py --rows 300000

Each side runs alone in a process of its own, in turn. Both get the different titles alone with their sets of n-grams
compared exactly at the end, both have one thread, and both times are CPU seconds, which other work on the machine
changes least; wall seconds stand beside them. datasketch has 32-bit hashes of xxhash, its fastest permutations, and of
the settings that find 97% of brute force's pairs the one that is fastest at all rows. A pair counts as found when the
pairs of a side connect its rows. More rows than ``--yardstick-rows`` are for ours alone. Results:
results/near_duplicates.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from recombined_titles import PRODUCT1M, real_titles, recombined_titles
from scipy.sparse import csr_array

from interbert.curation.groups import group_rows
from interbert.curation.near_titles import NearTitleOptions, near_title_pairs

OPTIONS = NearTitleOptions()
RECALL = 0.97
ROWS_OF_BANDS = (4, 5, 6, 7)
"""Settings of datasketch's index that are tried: few rows have few hashes and many candidates."""

Pairs = Any  # [P, 2] int64
Engine = Callable[[list[str]], Pairs]


class Measured(NamedTuple):
    """One side's run."""

    pairs: Pairs
    cpu_seconds: float
    wall_seconds: float
    peak_mib: float


def gram_sets(titles: list[str]) -> list[set[str]]:
    size = OPTIONS.characters
    return [{title[place : place + size] for place in range(max(1, len(title) - size + 1))} for title in titles]


def brute_force(titles: list[str]) -> Pairs:
    """All pairs of different titles with a Jaccard index of at least the threshold, by a product of matrices."""
    rows = np.array(sorted({title: row for row, title in reversed(list(enumerate(titles)))}.values()))
    grams = gram_sets([titles[row] for row in rows])
    sizes = np.array([len(one) for one in grams])
    number: dict[str, int] = {}
    columns = [number.setdefault(gram, len(number)) for one in grams for gram in one]
    ends = np.concatenate([[0], np.cumsum(sizes)])
    matrix = csr_array((np.ones(len(columns), np.int32), columns, ends), shape=(len(rows), len(number)))
    found = []
    for start in range(0, len(rows), 500):
        shared = (matrix[start : start + 500] @ matrix.T).tocoo()
        left = shared.row + start
        alike = shared.data >= OPTIONS.jaccard * (sizes[left] + sizes[shared.col] - shared.data) - 1e-9
        alike &= left < shared.col
        found.append(np.stack([rows[left[alike]], rows[shared.col[alike]]], axis=1))
    return np.concatenate(found)


def ours(titles: list[str], window: int = OPTIONS.window) -> Pairs:
    return near_title_pairs(titles, replace(OPTIONS, window=window))


def datasketch(bands: tuple[int, int], titles: list[str]) -> Pairs:
    """Candidates of MinHashLSH with exact verification; an equal title is looked up and not hashed again."""
    import xxhash
    from datasketch import MinHash, MinHashLSH

    first: dict[str, int] = {}
    pairs = [(first[title], row) for row, title in enumerate(titles) if first.setdefault(title, row) != row]
    rows, grams = list(first.values()), gram_sets(list(first))
    index = MinHashLSH(params=bands, num_perm=bands[0] * bands[1])
    hashes = MinHash.generator(
        ([gram.encode() for gram in one] for one in grams),
        num_perm=bands[0] * bands[1],
        hashfunc=xxhash.xxh32_intdigest,
        scheme="affine32",
    )
    for place, minhash in enumerate(hashes):
        pairs += [(rows[other], rows[place]) for other in index.query(minhash) if near(grams, place, other)]
        index.insert(place, minhash, check_duplication=False)
    return np.array(pairs).reshape(-1, 2)


def rensa(titles: list[str]) -> Pairs:
    """Candidates of rensa's index, in Rust, with the same exact verification."""
    from rensa import RMinHash, RMinHashLSH

    first: dict[str, int] = {}
    pairs = [(first[title], row) for row, title in enumerate(titles) if first.setdefault(title, row) != row]
    rows, grams = list(first.values()), gram_sets(list(first))
    index = RMinHashLSH(OPTIONS.jaccard, 60, 10)
    minhashes = RMinHash.from_token_sets([list(one) for one in grams], 60, 1)
    index.insert_many(minhashes)
    for place, candidates in enumerate(index.query_all(minhashes)):
        pairs += [(rows[other], rows[place]) for other in candidates if other < place and near(grams, place, other)]
    return np.array(pairs).reshape(-1, 2)


def near(grams: list[set[str]], left: int, right: int) -> bool:
    shared = len(grams[left] & grams[right])
    return shared >= OPTIONS.jaccard * (len(grams[left]) + len(grams[right]) - shared)


def in_child(engine: Engine, titles: list[str]) -> Measured:
    """Run in a process of its own, whose peak has the titles in it."""
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def work() -> None:
        cpu, wall = time.process_time(), time.perf_counter()
        pairs = engine(titles)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        sender.send(Measured(pairs, cpu, wall, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    sender.close()
    measured: Measured = receiver.recv()
    child.join()
    return measured


def recall(found: Pairs, true: Pairs, rows: int) -> float:
    """Share of the true pairs that are connected."""
    groups = group_rows(rows, found)
    return float((groups[true[:, 0]] == groups[true[:, 1]]).mean())


def precision(found: Pairs, true: Pairs) -> float:
    """Share of the pairs that are in brute force's list."""
    real = set(map(tuple, true.tolist()))
    return float(np.mean([tuple(sorted(pair)) in real for pair in found.tolist()]))


def judged(name: str, titles: list[str]) -> tuple[float, float]:
    """Recall and precision of ours on different titles."""
    true, found = in_child(brute_force, titles).pairs, in_child(ours, titles).pairs
    shares = recall(found, true, len(titles)), precision(found, true)
    print(f"{name}: {len(titles)} different titles, {len(true)} pairs of brute force, {len(found)} of ours, ", end="")
    print(f"recall {shares[0]:.4f}, precision {shares[1]:.4f}", flush=True)
    return shares


def enough_bands(titles: list[str]) -> list[tuple[int, int]]:
    """For each number of rows of a band, the fewest bands with which datasketch has enough recall."""
    true = in_child(brute_force, titles).pairs
    chosen = []
    for rows in ROWS_OF_BANDS:
        for bands in itertools.count(rows):
            share = recall(in_child(partial(datasketch, (bands, rows)), titles).pairs, true, len(titles))
            if share >= RECALL:
                break
        print(f"datasketch: {bands} bands of {rows} rows, recall {share:.4f}", flush=True)
        chosen.append((bands, rows))
    return chosen


def told(name: str, done: Measured, titles: list[str]) -> Measured:
    clusters = len(np.unique(group_rows(len(titles), done.pairs)))
    print(f"{name}: {done.cpu_seconds:.2f} s of CPU, {done.wall_seconds:.2f} s, ", end="")
    print(f"{done.peak_mib:.0f} MiB, {len(done.pairs)} pairs, {clusters} clusters", flush=True)
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--yardstick-rows", type=int, default=300_000)
    parser.add_argument("--rensa", action="store_true", help="rensa's index too")
    parser.add_argument("--window", type=int, default=OPTIONS.window, help="of ours at all rows")
    parser.add_argument("--titles", type=Path, default=PRODUCT1M, help="Product1M's titles")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    real = real_titles(options.titles)
    sample = list(dict.fromkeys(recombined_titles(real, 30_000, options.seed + 1)))[:20_000]
    judged("real titles", list(dict.fromkeys(real)))
    found, right = judged("recombined titles", sample)
    if options.rensa:
        found_by_rensa = in_child(rensa, sample).pairs
        print(f"rensa: recall {recall(found_by_rensa, in_child(brute_force, sample).pairs, len(sample)):.4f}")
    settings = enough_bands(sample) if options.rows <= options.yardstick_rows else []
    titles = recombined_titles(real, options.rows, options.seed)
    print(f"{options.rows} titles, {1 - len(set(titles)) / len(titles):.1%} repeat an earlier one", flush=True)
    our_side = partial(ours, window=options.window)
    our_runs, their_runs = [told("ours", in_child(our_side, titles), titles)], []
    for setting in settings:
        name = f"datasketch, {setting[0]} bands of {setting[1]} rows"
        their_runs.append(told(name, in_child(partial(datasketch, setting), titles), titles))
        our_runs.append(told("ours", in_child(our_side, titles), titles))
    if options.rensa:
        told("rensa", in_child(rensa, titles), titles)
    our_seconds = statistics.median(run.cpu_seconds for run in our_runs)
    result = {
        "ratio": round(min(run.cpu_seconds for run in their_runs) / our_seconds, 2) if their_runs else None,
        "recall": round(found, 4),
        "precision": round(right, 4),
        "seconds": round(statistics.median(run.wall_seconds for run in our_runs), 2),
        "peak_mib": round(max(run.peak_mib for run in our_runs)),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
