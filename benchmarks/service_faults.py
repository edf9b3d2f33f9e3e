"""Kill the service at random moments while products are written over HTTP; swap its index while it is searched.

    python benchmarks/service_faults.py runs/index --model runs/model --source data/shop.parquet --kills 50 --swaps 20

A copy of INDEX is served by a real `interbert serve`. Clients add products with images, change columns, remove products
and send bulks that are answered 202, each products of its own, one request after the other. SIGKILL goes to the service
at a random moment, one time in five while it starts. After the next start, when all tasks are finished:

* what was acknowledged (200, or 202) is there as it was written, and what was removed is gone;
* a request that was not answered has happened as a whole, line by line, or not;
* no image stands in the index twice, and `interbert index verify` finds nothing.

Then the index is rebuilt again and again, from --source by --model and by the same model with other numbers in turn,
while clients search: every request must be answered 200. Prints a line a kill and a swap; the last line is JSON. Exit
code 1 when anything was lost, stands there twice, or failed; the folder is left then.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from service_clients import Client, Service, Start, interpreter

from interbert.checkpoints.directory import load_model
from interbert.search.index import ProductIndex
from interbert.search.index_model import index_encoder
from interbert.search.verify import verify_index
from interbert.training.model_card import versions


@dataclass
class Tally:
    """What was seen."""

    kills: int = 0
    while_starting: int = 0
    acknowledged: int = 0
    """Products written, changed or removed by requests that were answered."""
    answered_202: int = 0
    unanswered: int = 0
    """Products of requests that were under way when the service was killed."""
    unanswered_done: int = 0
    """Of these, those that were written all the same."""
    lost: int = 0
    duplicated: int = 0
    swaps: int = 0
    searches: int = 0
    failed: int = 0
    """Searches that were not answered 200."""
    faults: list[str] = field(default_factory=list)


def compare(index_path: Path, clients: list[Client], tally: Tally) -> None:
    """What is in the index with what has to be."""
    index = ProductIndex.open(index_path)
    price = next(column.field for column in index.manifest.columns if column.name == "price")
    there: dict[str, float | None] = {}
    images: Counter[str] = Counter()
    for batch in index.scan(["picture_id", "product_id", price], 4096):
        for row in batch.to_pylist():
            images[row["picture_id"]] += 1
            there[row["product_id"]] = row[price]
    tally.duplicated += sum(count > 1 for count in images.values())
    for client in clients:
        tally.acknowledged += client.acknowledged
        tally.answered_202 += client.answered_202
        tally.unanswered += len(client.pending)
        tally.faults += client.refused
        for name, wanted in client.expected.items():
            found = there.get(name)
            if found != wanted and not (name in client.pending and found == client.pending[name]):
                tally.lost += 1
                tally.faults.append(f"{name}: {wanted} was acknowledged, {found} is there")
        for name, wanted in client.pending.items():
            tally.unanswered_done += there.get(name) == wanted
            client.expected[name] = there.get(name)


def kill_again_and_again(folder: Path, kills: int, clients: int, seed: int, start: Start, tally: Tally) -> None:
    """Start, write, kill and compare."""
    moments = random.Random(seed)
    writing = [Client(number, seed + number) for number in range(clients)]
    service = Service(folder / "index", folder / "state", start)
    began = time.monotonic()
    service.wait_ready()
    starting = time.monotonic() - began
    while tally.kills < kills:
        writing = [client.begin(service) for client in writing]
        time.sleep(moments.uniform(0.1, 3.0))
        service.kill()
        for client in writing:
            client.join()
        tally.kills += 1
        service = Service(folder / "index", folder / "state", start)
        if moments.random() < 0.2 and tally.kills < kills:
            time.sleep(moments.uniform(0, 1.2 * starting))
            service.kill()
            tally.kills += 1
            tally.while_starting += 1
            service = Service(folder / "index", folder / "state", start)
        service.wait_ready()
        service.wait_tasks()
        compare(folder / "index", writing, tally)
        print(f"kill {tally.kills}: {tally.acknowledged} acknowledged, {tally.lost} lost", flush=True)
    service.kill()
    index = ProductIndex.open(folder / "index")
    tally.faults += verify_index(index, index_encoder(index)).problems


def swap_again_and_again(
    folder: Path, swaps: int, models: Sequence[Path], source: str, start: Start, tally: Tally
) -> None:
    """Rebuild the index while it is searched."""
    service = Service(folder / "index", folder / "state", start)
    service.wait_ready()
    ended, lock = threading.Event(), threading.Lock()

    def search() -> None:
        while not ended.is_set():
            try:
                status, reply = service.call("POST", "/v1/search", {"text": "a red circle", "top_k": 5})
            except OSError as error:
                status, reply = 0, str(error)
            with lock:
                tally.searches += 1
                if status != 200 or not reply["results"]:
                    tally.failed += 1
                    tally.faults.append(f"search: {status} {str(reply)[:200]}")

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for swap in range(swaps):
        words = ["index", "build", str(models[swap % len(models)]), source, str(folder / "index"), "--rebuild"]
        code = start(words).wait(600)
        tally.swaps += code == 0
        if code:
            tally.faults.append(f"rebuild {swap + 1} ended with {code}")
        time.sleep(1.5)  # searches look for a new build once a second
        print(f"swap {swap + 1}: {tally.searches} searches, {tally.failed} failed", flush=True)
    ended.set()
    for thread in threads:
        thread.join()
    service.kill()


def other_model(model: Path, folder: Path) -> Path:
    """The same model with other numbers, and so another fingerprint."""
    shutil.copytree(model, folder)
    changed = load_model(folder)
    for parameter in changed.parameters():
        parameter.data.mul_(1.01)
    changed.save_pretrained(folder)
    return folder


def main(words: Sequence[str] | None = None, start: Start = interpreter) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", help="index with a column price; it is copied")
    parser.add_argument("--model", help="model directory, for swaps")
    parser.add_argument("--source", help="what the index is rebuilt from, for swaps")
    parser.add_argument("--out", default="runs/service_faults", help="folder to work in; what is in it is replaced")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args(words)
    if arguments.swaps and not (arguments.model and arguments.source):
        parser.error("--swaps needs --model and --source")
    out, tally, started = Path(arguments.out), Tally(), time.monotonic()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    shutil.copytree(arguments.index, out / "index")
    kill_again_and_again(out, arguments.kills, arguments.clients, arguments.seed, start, tally)
    if arguments.swaps:
        models = [Path(arguments.model), other_model(Path(arguments.model), out / "model")]
        swap_again_and_again(out, arguments.swaps, models, arguments.source, start, tally)
    for fault in tally.faults[:20]:
        print(f"FAULT {fault}")
    print(json.dumps(asdict(tally) | {"seconds": round(time.monotonic() - started), "versions": versions()}))
    bad = bool(tally.lost or tally.duplicated or tally.failed or tally.faults)
    if not bad:
        shutil.rmtree(out)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
