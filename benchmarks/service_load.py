"""The service under load, beside the plain baseline: requests per second, p50, p99; and whether it answers rightly.

    python benchmarks/service_load.py INDEX QUERIES.parquet:COLUMN [--seconds 20] [--soak 120]

Without arguments the index is one of noise, with a small random model. Both are processes of their own, on loopback,
with the same index and model, and caches are off: every query is another. The plain baseline is the same engine behind
a FastAPI handler in a pool of threads, with those of 1, 2, 4 or 8 workers and 1 or 2 threads of torch that answer most
in short runs. The service is `interbert serve INDEX` with its defaults.

First closed loops of 8, 16 and 32 clients: each side's best is its capacity, measured in rounds that alternate. Then
requests that come at random (Poisson) at 80% and at 150% of the plain baseline's capacity. Full answers only count: one
in the order of recall (degraded) does not, nor does a 429. Times are from when a request is due.

Then answers are compared with those of the engine by itself, one query at a time; with ``--soak SECONDS`` they come
from 500 clients at once for that long, and memory is read at the start, in the middle and at the end. An answer is
wrong when at some place it has a product whose score or probability differs by more than rounding from that of the
product that belongs there. Prints Markdown tables; the last line is JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from service_load_clients import Load, Reply, closed_loop, distinct, open_loop
from service_load_servers import Expected, Server, expected, ours, plain, synthetic_index

CLIENTS = (8, 16, 32)
SOAK_CLIENTS = 500
_CHECKED_CLIENTS, _CHECKED_SECONDS = 16, 5.0
"""Of the comparison without ``--soak``."""
_ROUNDING = {"fp32": 1e-3, "auto": 0.05, "bf16": 0.05}
"""Of the range of a page's scores, and of probabilities: bf16 has about two digits."""
HEAD = "| side | load | full answers/s | p50 ms | p99 ms | CPU ms/answer | degraded | 429 | 5xx | unanswered |\n"
HEAD += "| --- " * 10 + "|"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", nargs="?", help="of `interbert index build`; one of noise when not given")
    parser.add_argument("queries", nargs="?", help="Parquet file of texts to search for, :COLUMN after it (text)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measured run; shorter ones take a third")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4, 8], help="of the plain baseline")
    parser.add_argument("--torch-threads", type=int, nargs="*", default=[1, 2], help="of the plain baseline")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="of both sides")
    parser.add_argument("--soak", type=float, default=0.0, metavar="SECONDS", help="of 500 clients at once; 0: none")
    parser.add_argument("--checked", type=int, default=200, help="queries whose answers are compared")
    arguments = parser.parse_args()
    if arguments.index and not arguments.queries:
        parser.error("an index needs queries.")
    with tempfile.TemporaryDirectory() as folder:
        index, texts = arguments.index, []
        if index is None:
            index, texts = in_a_process(synthetic_index, Path(folder))
        else:
            path, _, column = arguments.queries.partition(":")
            texts = [text for text in pq.read_table(path, columns=[column or "text"])[0].to_pylist() if text]
        result = measured(arguments, index, texts)
        compared = checked(arguments, index, texts)
    errors = result.pop("errors_5xx") + compared.pop("errors_5xx")
    print(json.dumps(result | {"errors_5xx": errors} | compared))


def in_a_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns that is run in a process of its own, so that no model stays in this one."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def measured(arguments: argparse.Namespace, index: str, texts: Sequence[str]) -> dict[str, float]:
    """Both sides under load."""
    asked, short = distinct(texts), arguments.seconds / 3
    workers, torch_threads = best_of_plain(arguments, index, asked, short)
    name = f"plain, {workers} workers, {torch_threads} torch threads"
    with plain(index, workers, torch_threads, arguments.precision) as one, ours(index, arguments.precision) as other:
        sides = {name: one, "ours": other}
        print(HEAD, flush=True)
        clients = {side: best_clients(side, server, asked, short) for side, server in sides.items()}
        rounds: dict[str, list[Load]] = {side: [] for side in sides}
        for _ in range(2):
            for side, server in sides.items():
                load = timed(server, closed_loop, asked, clients[side], arguments.seconds)
                rounds[side].append(load)
                show(side, f"{clients[side]} clients", load)
        capacity = {side: sum(load.rate() for load in loads) / len(loads) for side, loads in rounds.items()}
        ratios, of_ours = [], rounds["ours"]
        for share in (0.8, 1.5):
            loads = {}
            for side, server in sides.items():
                loads[side] = timed(server, open_loop, asked, share * capacity[name], arguments.seconds)
                show(side, f"{share:.0%} of {capacity[name]:.1f}/s", loads[side])
            ratios.append(loads["ours"].percentile(99) / loads[name].percentile(99))
            of_ours.append(loads["ours"])
    return {
        "throughput_ratio": round(capacity["ours"] / capacity[name], 3),
        "p99_ratio": round(max(ratios), 3),
        "degraded_share": round(max(load.degraded_share() for load in of_ours), 4),
        "errors_5xx": sum(load.errors() + load.lost for load in of_ours),
    }


def timed(server: Server, loop: Callable[..., Load], *arguments: Any) -> Load:
    """A loop against a server, with the time that the server computed for it."""
    begun, computed = time.monotonic(), server.cpu_seconds()
    load = loop(server.port, *arguments)
    load.cpu_seconds = (server.cpu_seconds() - computed) * load.seconds / (time.monotonic() - begun)
    return load


def show(side: str, load: str, result: Load) -> None:
    print(f"| {side} | {load} | {result.line()} |", flush=True)


def best_of_plain(arguments: argparse.Namespace, index: str, asked: Iterator[str], seconds: float) -> tuple[int, int]:
    """Workers and threads of torch with which the plain baseline answers most."""
    rates = {}
    print("| workers | torch threads | answers/s |\n| --- | --- | --- |", flush=True)
    for workers in arguments.workers:
        for threads in arguments.torch_threads:
            with plain(index, workers, threads, arguments.precision) as server:
                rates[workers, threads] = closed_loop(server.port, asked, CLIENTS[0], seconds).rate()
            print(f"| {workers} | {threads} | {rates[workers, threads]:.1f} |", flush=True)
    print()
    return max(rates, key=lambda setting: rates[setting])


def best_clients(side: str, server: Server, asked: Iterator[str], seconds: float) -> int:
    """Clients of a closed loop that get most full answers."""
    rates = {}
    for clients in CLIENTS:
        load = timed(server, closed_loop, asked, clients, seconds)
        show(side, f"{clients} clients", load)
        rates[clients] = load.rate()
    return max(rates, key=lambda clients: rates[clients])


def checked(arguments: argparse.Namespace, index: str, texts: Sequence[str]) -> dict[str, int]:
    """The service's answers beside the engine's own, under the load of few clients or of very many."""
    chosen = list(dict.fromkeys(texts))[: arguments.checked]
    right = in_a_process(expected, index, chosen, arguments.precision)
    clients = SOAK_CLIENTS if arguments.soak else _CHECKED_CLIENTS
    seconds = arguments.soak or _CHECKED_SECONDS
    asked = (chosen[place % len(chosen)] for place in itertools.count())
    with ours(index, arguments.precision) as server:
        closed_loop(server.port, asked, _CHECKED_CLIENTS, _CHECKED_SECONDS)  # warm
        memory: list[float] = []
        reader = threading.Thread(target=read_memory, args=(server, seconds, memory))
        reader.start()
        load = timed(server, closed_loop, asked, clients, seconds, 0.0)
        reader.join()
    print(f"\n{HEAD}")
    show("ours", f"{clients} clients", load)
    rounding = _ROUNDING[arguments.precision]
    wrong = [reply for reply in load.replies if reply.full and not is_right(reply, right[reply.text], rounding)]
    full = sum(reply.full for reply in load.replies)
    print(f"\n{full} full answers compared, {len(wrong)} wrong")
    for reply in wrong[:5]:
        print(
            f"wrong: {reply.text!r}: {[one['image_id'] for one in reply.body['results']]}, not {right[reply.text][0]}"
        )
    print(
        f"resident memory in MiB at the start, in the middle, at the end: {', '.join(f'{one:.0f}' for one in memory)}"
    )
    return {"errors_5xx": load.errors() + load.lost, "wrong": len(wrong)}


def read_memory(server: Server, seconds: float, memory: list[float]) -> None:
    """Append resident memory now, in the middle and shortly before the end."""
    for pause in (0.0, seconds / 2, seconds / 2 - 0.5):
        time.sleep(pause)
        memory.append(server.resident_mib())


def is_right(reply: Reply, right: tuple[list[str], Expected], rounding: float) -> bool:
    """Whether an answer is the engine's, but for products that change places within rounding."""
    results, (page, scores) = reply.body["results"], right
    if len(results) != len(page) or any(one["image_id"] not in scores for one in results):
        return False
    near = rounding * (max(score for score, _ in scores.values()) - min(score for score, _ in scores.values()))
    for one, wanted in zip(results, page, strict=True):
        score, probability = scores[one["image_id"]]
        if abs(score - scores[wanted][0]) > near:
            return False
        if probability is None or abs(one["probability"] - probability) > rounding:
            return False
    return True


if __name__ == "__main__":
    main()
