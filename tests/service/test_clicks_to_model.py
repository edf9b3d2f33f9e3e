"""The loop from clicks to a better model: searches and clicks, judgements, fine-tuning, and the index built anew."""
# ruff: noqa: F401, F811 (fixtures)

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from tests.search.conftest import built, index_path, make_model, model, priced, source_of
from tests.service.conftest import MakeClient, make_client
from tests.topics.conftest import shop_regions

from interbert.cli.main import main
from interbert.data.qrels import Qrels
from interbert.search.build import build_index

TEXTS = ("a red circle", "something green", "purple paper", "an orange thing")
SMALL = ["--training.epochs", "16", "--training.batch-size", "4", "--training.learning-rate", "0.003"]
SMALL += ["--training.ema-decay", "0.5", "--training.log-steps", "1", "--dropout", "0"]
DEEP = 20
"""Shoppers click on the product of about this rank, which the random model of the tests does not favour."""


def searched(client: TestClient, text: str) -> dict[str, Any]:
    """All products, ranked by the model alone."""
    asked = {"text": text, "top_k": 24, "candidates": 24, "full_text": False, "client_id": "c-1"}
    response = client.post("/v1/search", json=asked)
    assert response.status_code == 200, response.text
    return dict(response.json())


def reciprocal_rank(found: dict[str, Any], product: str) -> float:
    """Of a product; one that is a result with near-duplicates counts as the last of them."""
    place = 0
    for one in found["results"]:
        names = [one["image_id"], *one["similar"]]
        place += len(names)
        if product in names:
            return 1 / place
    return 0.0


@pytest.mark.slow
def test_clicks_become_judgements_and_the_model_that_learns_them_ranks_what_was_clicked_higher(
    make_client: MakeClient, index_path: Path, model: Path, shop_regions: Path, priced: Path, tmp_path: Path
) -> None:
    client = make_client(index_path)
    clicked: dict[str, str] = {}
    before = []
    for text in TEXTS:
        found = searched(client, text)
        chosen = next(one for one in found["results"][DEEP - 1 :: -1] if one["product_id"] not in clicked.values())
        clicked[text] = chosen["product_id"]
        before.append(reciprocal_rank(found, chosen["product_id"]))
        click = {"kind": "click", "query_id": found["query_id"], "rank": chosen["rank"], "client_id": "c-1"}
        assert client.post("/v1/events", json=click | {"product_id": chosen["product_id"]}).json()["accepted"] == 1
    assert client.portal is not None
    assert client.portal.call(client.app.state.service.seen_queries.flush)  # type: ignore[attr-defined]

    clicks, better = tmp_path / "clicks.tsv", tmp_path / "better"
    assert main(["events", "export", str(clicks), "--state", str(tmp_path / "state0")]) == 0
    judged = Qrels.read(clicks)
    pairs = zip(judged.query_of, judged.product_of, strict=True)
    assert {judged.queries[query]: judged.products[product] for query, product in pairs} == clicked
    assert "c-1" not in clicks.read_text()
    words = ["finetune", "retrieval", str(model), str(shop_regions), str(better), "--qrels", str(clicks)]
    assert main([*words, "--validation", str(shop_regions), *SMALL]) == 0
    log = [json.loads(line) for line in (better / "log_history.jsonl").read_text().splitlines()]
    losses = [one["loss"] for one in log if "loss" in one]
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])

    old = client.get("/v1/indexes").json()["indexes"][0]["version"]
    build_index(better, source_of(priced), index_path, rebuild=True)
    time.sleep(1.0)  # an open index looks for builds once a second
    replies = {text: searched(client, text) for text in TEXTS}
    assert all(reply["index_version"].split("@")[0] != old.split("@")[0] for reply in replies.values())
    after = [reciprocal_rank(replies[text], product) for text, product in clicked.items()]
    assert np.mean(after) > np.mean(before)
