"""A share of clients is answered by another index: who, what is written to both, and the numbers that come of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient
from tests.service.conftest import make_service
from tests.service.test_events_api import click, search, written

from interbert.cli.main import main
from interbert.cli.parser import parse_options
from interbert.cli.serve import Options
from interbert.errors import UsageError
from interbert.search.changes import remove_from_index
from interbert.search.engine import SearchEngine
from interbert.service.app import create_app
from interbert.service.experiments import Experiment, read_experiments, require_columns
from interbert.service.pipeline import Pipeline
from interbert.service.service import ServedIndex
from interbert.service.state.records import VariantUse
from interbert.service.variant_statistics import differences, wilson
from interbert.service.writes import ProductWriter

HALF = Experiment("shop", 0.5, "next")
CLIENTS = [f"visitor-{number}" for number in range(12)]


@pytest.fixture
def shop(index_copy: Path, tmp_path: Path) -> Iterator[TestClient]:
    """Half of the clients of ``shop`` are answered by ``next``, which lacks the red circle."""
    other = Path(shutil.copytree(index_copy, tmp_path / "next"))
    remove_from_index(other, ids=["red-circle"])
    service = make_service(index_copy, tmp_path / "state", writers=True, experiments={"shop": HALF})
    engine = SearchEngine.open(other, bf16=False)
    writer = ProductWriter(other, engine, service.state, tmp_path / "state" / "spool" / "next", service.metrics)
    pipeline = Pipeline(engine, service.queues, service.metrics)
    service.indexes["next"] = ServedIndex("next", str(other), engine, pipeline, writer)
    with TestClient(create_app(service), raise_server_exceptions=False) as client:
        assert client.portal is not None
        client.portal.call(service.start)
        yield client
        client.portal.call(service.drain)
    service.close()


def test_a_client_stays_with_its_variant(shop: TestClient) -> None:
    for client in CLIENTS:
        first = search(shop, client_id=client, top_k=2)
        assert first["index"] == "shop"
        assert first["variant"] == HALF.variant(client)
        table = first["index_version"].split("@")[0]
        again = search(shop, "a blue square", client_id=client)
        assert again["variant"] == first["variant"]
        names = [one["product_id"] for one in search(shop, client_id=client, top_k=24)["results"]]
        assert ("red-circle" in names) == (first["variant"] == "shop")
        page = search(shop, top_k=2, cursor=first["next_cursor"])  # without the client: the cursor knows
        assert (page["variant"], page["index_version"].split("@")[0]) == (first["variant"], table)
    assert {HALF.variant(client) for client in CLIENTS} == {"shop", "next"}
    assert search(shop, index="next")["variant"] is None
    without = [search(shop)["variant"] for _ in range(24)]
    assert set(without) == {"shop", "next"}
    left = next(one for one in CLIENTS if HALF.variant(one) == "next")
    cursor = search(shop, client_id=left, top_k=2)["next_cursor"]
    shop.app.state.service.settings.experiments.clear()  # type: ignore[attr-defined]
    assert search(shop, client_id=left)["variant"] is None
    over = shop.post("/v1/search", json={"text": "a red circle", "top_k": 2, "cursor": cursor})
    assert over.json()["error"]["code"] == "cursor_expired"


def test_the_variant_that_answered_explains(shop: TestClient) -> None:
    asked = {"text": "a red circle", "product_id": "red-circle", "index": "shop"}
    assert shop.post("/v1/explain", json=asked | {"variant": "next"}).json()["error"]["code"] == "not_found"
    for variant in (None, "shop", "toys"):
        assert shop.post("/v1/explain", json=asked | {"variant": variant}).status_code == 200


def test_writes_go_to_both(shop: TestClient) -> None:
    assert shop.patch("/v1/products/blue-circle", json={"price": 1.25}).status_code == 200
    lines = "\n".join(json.dumps({"product_id": name, "stock": 77}) for name in ("blue-square", "green-square"))
    kind = {"Content-Type": "application/x-ndjson"}
    assert shop.patch("/v1/products?wait=30", content=lines, headers=kind).status_code == 200
    service = shop.app.state.service  # type: ignore[attr-defined]
    assert shop.portal is not None
    task = service.state.tasks.list("next", 1)[0]
    shop.portal.call(service.indexes["next"].writer.wait, task.id, 30.0)
    for name in ("shop", "next"):
        found = service.indexes[name].engine.index.ids("stock = 77 or price = 1.25")
        assert found == ["blue-circle", "blue-square", "green-square"]
        assert [one.state for one in service.state.tasks.list(name, 9)] == ["succeeded", "succeeded"]
    control, treatment = (service.indexes[name] for name in ("shop", "next"))
    require_columns(control, treatment)
    manifest = treatment.engine.index.manifest
    treatment.engine.index.manifest = replace(manifest, columns=manifest.columns[:1])
    with pytest.raises(UsageError, match="next lacks the columns"):
        require_columns(control, treatment)


def test_variants_side_by_side(shop: TestClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for client in CLIENTS:
        found = search(shop, client_id=client)
        if found["variant"] == "next":
            shop.post("/v1/events", json=[click(found, 1, client_id=client), click(found, 2, client_id=client)])
    search(shop, client_id=CLIENTS[0], where="price > 1000")
    search(shop, index="next")
    written(shop)
    body = shop.get("/v1/statistics/experiments?days=1").json()
    assert body["share"] == 0.5
    found = {one["variant"]: one for one in body["variants"]}
    mine = {name: [one for one in CLIENTS if HALF.variant(one) == name] for name in ("shop", "next")}
    assert {name: one["clients"] for name, one in found.items()} == {name: len(mine[name]) for name in mine}
    assert sum(one["searches"] for one in found.values()) == len(CLIENTS) + 1
    assert (found["next"]["clicked"], found["shop"]["clicked"]) == (len(mine["next"]), 0)
    assert found[HALF.variant(CLIENTS[0])]["without_results"]["value"] > 0
    assert 0 < found["shop"]["p50_ms"] <= found["shop"]["p99_ms"]
    (difference,) = body["differences"]
    assert (difference["variant"], difference["control"]) == ("next", "shop")
    assert 0 < difference["click_through"]["low"] <= difference["click_through"]["value"] <= 1
    assert shop.get("/v1/statistics/experiments?index=next").json()["variants"] == []
    assert main(["events", "compare", "shop", "--state", str(tmp_path / "state")]) == 0
    said = capsys.readouterr().out
    assert "next against shop: click-through +" in said
    assert main(["events", "compare", "toys", "--state", str(tmp_path / "state")]) == 2
    assert "no search of 'toys' was part of an experiment" in capsys.readouterr().err


def test_the_interval_of_the_difference_covers_what_clients_do() -> None:
    """In 200 repetitions; intervals that took the searches of a client for independent would cover far less."""
    rng = np.random.default_rng(0)
    covered, naive = 0, 0
    for _ in range(200):
        uses = []
        for name in ("shop", "next"):
            n = rng.integers(1, 20, 200)
            c = rng.binomial(n, rng.beta(0.5, 1.5, 200))  # a client clicks as it is used to
            sums = (int((n * n).sum()), int((c * c).sum()), int((n * c).sum()))
            uses.append(VariantUse(name, 200, int(n.sum()), int(c.sum()), 0, *sums, None, None))
        (found,) = differences("shop", uses)
        covered += found.click_through.low <= 0 <= found.click_through.high
        rates = [wilson(one.clicked, one.searches) for one in uses]
        half = np.hypot(*(one.high - one.value for one in rates))
        naive += abs(found.click_through.value) <= half
    assert 0.91 < covered / 200 < 0.99
    assert naive / 200 < 0.8


def test_rates_of_nothing_and_of_few() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)
    assert wilson(1, 10).low == pytest.approx(0.0178762, abs=1e-6)
    one = VariantUse("next", 1, 1, 1, 0, 1, 1, 1, None, None)
    (found,) = differences("shop", [one, VariantUse("shop", 0, 1, 0, 0, 1, 0, 0, None, None)])
    assert (found.click_through.low, found.click_through.high) == (pytest.approx(-0.386, abs=1e-3), 1.0)
    assert differences("shop", [one]) == []


def test_a_share_is_that_of_the_clients() -> None:
    tenth = Experiment("shop", 0.1, "next")
    chosen = [name for name in map(str, range(5000)) if tenth.variant(name) == "next"]
    assert 400 < len(chosen) < 600
    assert {Experiment("shop", 0.3, "next").variant(name) for name in chosen} == {"next"}  # a larger share keeps them


def test_an_experiment_as_it_is_typed() -> None:
    typed = parse_options("serve", "", Options, ["shop=a", "next=b", "--experiment", "shop:0.1=next"])
    assert isinstance(typed, Options)
    assert typed.index == ["shop=a", "next=b"]
    assert read_experiments(typed.experiment, ["shop", "next"]) == {"shop": Experiment("shop", 0.1, "next")}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["shop=next"], "is no INDEX:SHARE=OTHER"),
        (["shop:1.0=next"], "with a share between 0 and 1"),
        (["shop:0.1=indexes"], "names 'indexes', which is not served"),
        (["shop:0.1=shop"], "with another index"),
        (["shop:0.1=next", "shop:0.2=old"], "an index has one experiment"),
        (["shop:0.1=next", "next:0.2=old"], "'next' is in two experiments"),
    ],
)
def test_what_is_no_experiment_is_one_line(words: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_experiments(words, ["shop", "next", "old"])
