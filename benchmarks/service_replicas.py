"""Two replicas of the service over one index and one database, one of which is killed while products change.

    python benchmarks/service_replicas.py runs/index --database postgresql://postgres@127.0.0.1:5432/empty --seconds 60

A copy of INDEX is served by two real `interbert serve`, each with a state folder of its own. Clients add products with
images, change columns, remove products and send bulks at both; others search at both; a probe changes a price at one
replica and asks the other until a search by that price finds it. Halfway SIGKILL goes to the replica that applies a
bulk, and the other is measured until it goes on with it. In the end everything that was acknowledged by either must be
in the index as it was written, nothing may stand there twice, and no request to the living replica may have failed.

Prints what it saw; the last line is JSON. Exit code 1 when anything was lost or failed; the folder is left then.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import service_faults
from service_clients import BULK, Client, Service, Start, interpreter, picture

from interbert.service.state import State
from interbert.training.model_card import versions

_PROBE = "probe"
_WRITES, _TOPICS = "write shop", "topic pages shop"
"""What one replica has at a time."""
_WAIT = 60.0
"""Seconds that anything may take."""


@dataclass
class Seen:
    """What was seen."""

    searches: int = 0
    failed: list[str] = field(default_factory=list)
    """Requests to a replica that lives that were not answered 200 or 202."""
    fresh: list[float] = field(default_factory=list)
    """Seconds from the answer to a write at one replica to the begin of the first search of the other that finds it."""
    searches_needed: list[int] = field(default_factory=list)
    """Until it was found; 1: the next search found it."""
    taken_over: float = 0.0
    """Seconds from the kill until the other replica holds the index's writes."""
    finished: float = 0.0
    """Seconds from the kill until the killed one's task is finished."""


class Searcher(threading.Thread):
    """Searches at one replica until it ends or is killed."""

    def __init__(self, service: Service, seen: Seen) -> None:
        super().__init__(daemon=True)
        self._service, self._seen = service, seen
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            status, reply = _answer(self._service, "POST", "/v1/search", {"text": "a red circle", "top_k": 5})
            if self.ended.is_set():
                return
            self._seen.searches += 1
            if status != 200:
                self._seen.failed.append(f"search: {status} {str(reply)[:200]}")


class Probe(threading.Thread):
    """Changes a price at one replica, and asks the other until it finds it."""

    def __init__(self, services: Sequence[Service], seen: Seen) -> None:
        super().__init__(daemon=True)
        self._services, self._seen = services, seen
        self.ended = threading.Event()

    def run(self) -> None:
        writing, reading = self._services
        price = 2000.0
        while not self.ended.is_set():
            price += 1.0
            status, reply = _answer(writing, "PATCH", f"/v1/products/{_PROBE}?wait=60", {"price": price})
            if status != 200:
                self._seen.failed.append(f"probe: {status} {str(reply)[:200]}")
            elif not self._look(reading, price):
                return
            writing, reading = reading, writing
            time.sleep(0.05)

    def _look(self, reading: Service, price: float) -> bool:
        """Ask until the price is found; returns whether it was."""
        answered, searches = time.monotonic(), 0
        while not self.ended.is_set():
            began, searches = time.monotonic(), searches + 1
            if _finds(reading, price):
                self._seen.fresh.append(began - answered)
                self._seen.searches_needed.append(searches)
                return True
            if began - answered > _WAIT:
                self._seen.failed.append(f"price {price:g} is not seen by the other replica")
                return False
        return False


class Load:
    """Everything that asks two replicas."""

    def __init__(self, services: Sequence[Service], clients: int, seen: Seen) -> None:
        self.services = services
        self.writing = [Client(number, number).begin(services[number % 2]) for number in range(2 * clients)]
        self._searchers = [Searcher(service, seen) for service in services]
        self._probe = Probe(services, seen)
        for thread in (*self._searchers, self._probe):
            thread.start()

    def leave(self, place: int) -> None:
        """Ask one of them no more; its writers see their end."""
        self._searchers[place].ended.set()
        self._probe.ended.set()
        self._probe.join()

    def end(self) -> None:
        """End all of it."""
        for searcher in self._searchers:
            searcher.ended.set()
        for client in self.writing:
            client.ended.set()
        for thread in (*self._searchers, *self.writing):
            thread.join()


def _answer(service: Service, method: str, path: str, body: Any) -> tuple[int, Any]:
    try:
        return service.call(method, path, body)
    except OSError as error:
        return 0, str(error)


def _finds(service: Service, price: float) -> bool:
    body = {"text": "a red circle", "where": f"price = {price:g}", "rerank": False, "top_k": 1}
    status, reply = _answer(service, "POST", "/v1/search", body)
    return status == 200 and bool(reply["results"])


def _until(true: Callable[[], bool], what: str) -> float:
    """Seconds until something is so."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > _WAIT:
            raise SystemExit(f"{what} did not come within {_WAIT:g} s")
        time.sleep(0.02)
    return time.monotonic() - began


def kill_at_work(load: Load, state: State, seen: Seen) -> Service:
    """Kill the replica that applies a bulk, and see the other go on with it; returns the other."""
    first = state.replicas.holder(_TOPICS)  # of the one that was started first
    ends = time.monotonic() + _WAIT
    while True:
        task = load.services[0].call("POST", "/v1/products?wait=0", _bulk(), "application/x-ndjson")[1]["id"]
        _until(lambda one=task: state.tasks.get(one).state != "waiting", "the bulk's turn")  # type: ignore[misc]
        holder = state.replicas.holder(_WRITES)
        if holder is not None and state.tasks.get(task).finished_at is None:
            break
        if time.monotonic() > ends:
            raise SystemExit("no bulk was seen while it was applied")
    place = 0 if holder == first else 1
    load.leave(place)
    load.services[place].kill()
    seen.taken_over = _until(lambda: state.replicas.holder(_WRITES) not in (None, holder), "a new holder")
    seen.finished = seen.taken_over + _until(lambda: state.tasks.get(task).finished_at is not None, "the task's end")
    if state.tasks.get(task).state != "succeeded":
        seen.failed.append("the task of the killed replica failed")
    if holder == first:
        _until(lambda: state.replicas.holder(_TOPICS) not in (None, first), "a new holder of the topic pages")
    return load.services[1 - place]


def _bulk() -> bytes:
    lines = [{"product_id": f"bulk {place}", "image": picture(place), "price": 1} for place in range(4 * BULK)]
    return "\n".join(json.dumps(one) for one in lines).encode()


def measure(folder: Path, database: str, seconds: float, clients: int, start: Start) -> tuple[Seen, Any]:
    """Start two replicas, load them, kill one, and compare."""
    seen, tally = Seen(), service_faults.Tally()
    services: list[Service] = []
    state = State.open(database)
    try:
        for name in ("one", "two"):
            services.append(Service(folder / "index", folder / f"state {name}", start, "--database", database))
            services[-1].wait_ready()
        product = {"product_id": _PROBE, "image": picture(1), "price": 1}
        assert services[0].call("POST", "/v1/products?wait=60", product)[0] == 200
        load = Load(services, clients, seen)
        time.sleep(seconds / 2)
        living = kill_at_work(load, state, seen)
        time.sleep(seconds / 2)
        load.end()
        living.wait_tasks()
        service_faults.compare(folder / "index", load.writing, tally)
    finally:
        state.close()
        for service in services:
            if service.process.poll() is None:
                service.kill()
    return seen, tally


def main(words: Sequence[str] | None = None, start: Start = interpreter) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", help="index with a column price; it is copied")
    parser.add_argument("--database", required=True, help="URL of an empty PostgreSQL database")
    parser.add_argument("--out", default="runs/service_replicas", help="folder to work in; what is in it is replaced")
    parser.add_argument("--seconds", type=float, default=60.0, help="of load")
    parser.add_argument("--clients", type=int, default=1, help="that write, of each replica")
    arguments = parser.parse_args(words)
    out = Path(arguments.out)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    shutil.copytree(arguments.index, out / "index")
    seen, tally = measure(out, arguments.database, arguments.seconds, arguments.clients, start)
    faults = [*seen.failed, *tally.faults]
    for fault in faults[:20]:
        print(f"FAULT {fault}")
    summary = {
        "searches": seen.searches,
        "failed": len(seen.failed) + len(tally.faults),
        "fresh": {
            "changes": len(seen.fresh),
            "p50": round(statistics.median(seen.fresh), 3),
            "max": round(max(seen.fresh), 3),
            "most_searches": max(seen.searches_needed),
        },
        "taken_over": round(seen.taken_over, 3),
        "finished": round(seen.finished, 3),
        "acknowledged": tally.acknowledged,
        "answered_202": tally.answered_202,
        "lost": tally.lost,
        "duplicated": tally.duplicated,
        "versions": versions(),
    }
    print(json.dumps(summary))
    bad = bool(faults or tally.lost or tally.duplicated)
    if not bad:
        shutil.rmtree(out)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
