"""Send the service thousands of requests that were made up, and count what it does wrong.

    python benchmarks/service_fuzz.py runs/index --requests 10000 --seed 0

A copy of INDEX is served by a real `interbert serve`, with keys. schemathesis makes requests from the OpenAPI document,
right and wrong ones, alone and in sequences by the links it finds, and checks every answer: status, content type and
shape are documented, what is wrong is refused, no request without a key is answered, methods and `Allow` agree. Then
raw requests follow (benchmarks/service_raw_requests.py) until --requests were sent in all: paths, headers, bodies,
forms and NDJSON that are damaged, too long, too deep or hostile, and clients that hang up.

Prints a table of statuses by kind of request, then what was wrong, then a line of JSON: `errors_5xx` (of the service's
own count, which has both kinds), `tracebacks` in its log, `schema_failures` of schemathesis, `problems` of raw
requests: connections closed without an answer, errors of another shape, or a service that is not ready at the end. Exit
code 1 when one is not 0. A raw request is made again by its number: `RawRequest(SEED, NUMBER, KEY).bytes`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

from service_clients import Process, Service
from service_raw_requests import Answer, RawRequest

from interbert.service.state import State
from interbert.training.model_card import versions

HERE = Path(__file__).parent
_REQUESTS = re.compile(r"^interbert_requests_total\{(.+)\} (\S+)$", re.MULTILINE)
_STATUS = re.compile(r'status="(\d+)"')
LoggedStart = Callable[[Sequence[str], Path], Process]
"""Starts `interbert` with these words, and its standard error in a file."""


def interpreter(words: Sequence[str], log: Path) -> Process:
    """`interbert` in an interpreter of its own."""
    command = [sys.executable, "-m", "interbert", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log.open("wb"))


def by_status(service: Service) -> Counter[str]:
    """Requests that the service answered, by status, as its metrics count them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{service.port}/metrics", timeout=60) as reply:
        text = reply.read().decode()
    counts: Counter[str] = Counter()
    for labels, value in _REQUESTS.findall(text):
        found = _STATUS.search(labels)
        assert found is not None
        counts[found.group(1)] += int(float(value))
    return counts


def run_schemathesis(service: Service, key: str, arguments: argparse.Namespace, out: Path) -> list[str]:
    """Failures and errors that schemathesis found; its own report is in the folder."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run"]
    command += [
        f"http://127.0.0.1:{service.port}/openapi.json",
        "--max-examples",
        str(arguments.examples),
        "--no-shrink",
    ]
    command += [
        "--header",
        f"Authorization: Bearer {key}",
        "--seed",
        str(arguments.seed),
    ]
    command += ["--generation-deterministic", "--phases", arguments.phases, "--no-color", "--warnings", "off"]
    command += ["--report", "junit", "--report-junit-path", str(out / "schemathesis.xml")]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "service_schema_hooks", "PYTHONPATH": f"{HERE}"}
    with (out / "schemathesis.txt").open("wb") as report:
        code = subprocess.run(command, stdout=report, stderr=subprocess.STDOUT, env=environment, cwd=out).returncode
    if not (out / "schemathesis.xml").exists():
        return [f"schemathesis ended with {code}: {(out / 'schemathesis.txt').read_text()[-500:]}"]
    cases = ElementTree.parse(out / "schemathesis.xml").iter("testcase")
    failures = [
        f"{case.get('name')}: {(one.get('message') or one.text or '')[:1500]}"
        for case in cases
        for one in case
        if one.tag in ("failure", "error")
    ]
    return failures or ([f"schemathesis ended with {code}"] if code else [])


def run_raw(service: Service, key: str, seed: int, count: int, clients: int) -> tuple[Counter[str], list[str]]:
    """Send raw requests; their statuses by kind, and what was wrong."""
    statuses: Counter[str] = Counter()
    problems: list[str] = []

    def sent(number: int) -> tuple[int, RawRequest, Answer]:
        request = RawRequest(seed, number, key)
        try:
            return number, request, request.send(service.port)
        except OSError as error:
            return number, request, Answer(0, f"no connection: {error}")

    with ThreadPoolExecutor(clients) as threads:
        for number, request, answer in threads.map(sent, range(count)):
            statuses[{-1: "hung up", 0: "no answer"}.get(answer.status, str(answer.status))] += 1
            if answer.problem is not None:
                problems.append(f"request {number}, {request.method} {request.path[:80]}: {answer.problem}")
    return statuses, problems


def main(words: Sequence[str] | None = None, start: LoggedStart = interpreter) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", help="it is copied")
    parser.add_argument("--out", default="runs/service_fuzz", help="folder to work in; what is in it is replaced")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--examples", type=int, default=50, help="of schemathesis, of an operation and phase")
    parser.add_argument("--phases", default="examples,coverage,fuzzing,stateful", help="of schemathesis")
    parser.add_argument("--clients", type=int, default=4, help="that send raw requests at once")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(words)
    out, started = Path(arguments.out).resolve(), time.monotonic()
    shutil.rmtree(out, ignore_errors=True)
    (out / "state").mkdir(parents=True)
    shutil.copytree(arguments.index, out / "index")
    state = State.open(f"sqlite:///{out / 'state' / 'interbert.db'}")
    _, key = state.keys.create("fuzz", ["admin"], None, None, None)
    state.close()
    log = out / "log"
    service = Service(out / "index", out / "state", lambda words: start(words, log))
    try:
        service.wait_ready()
        schema_failures = run_schemathesis(service, key, arguments, out)
        of_schema = by_status(service)
        raw = max(0, arguments.requests - of_schema.total())
        statuses, problems = run_raw(service, key, arguments.seed, raw, arguments.clients)
        answered = by_status(service)
        if service.call("GET", "/readyz")[0] != 200:
            problems.append("the service is not ready any more")
    finally:
        service.kill()
    tracebacks = log.read_text(errors="replace").count("Traceback (most recent call last)")
    print("| status | schemathesis | raw |\n| --- | ---: | ---: |")
    for status in sorted({*of_schema, *statuses}):
        print(f"| {status} | {of_schema[status]:,} | {statuses[status]:,} |")
    for line in [*schema_failures[:20], *problems[:20]]:
        print(f"FAULT {line}")
    seen = {
        "requests": of_schema.total() + raw,
        "errors_5xx": sum(count for status, count in answered.items() if status.startswith("5")),
        "tracebacks": tracebacks,
        "schema_failures": len(schema_failures),
        "problems": len(problems),
    }
    bad = any(seen[name] for name in list(seen)[1:])
    seen["schemathesis"] = of_schema.total()
    print(json.dumps(seen | {"seconds": round(time.monotonic() - started), "versions": versions()}))
    if not bad:
        shutil.rmtree(out)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
