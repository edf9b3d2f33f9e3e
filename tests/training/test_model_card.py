from __future__ import annotations

from pathlib import Path

import yaml

from interbert.training.model_card import CARD, write_model_card

ORIGIN = {
    "git": None,
    "recipe": {"model": "models/pretrained", "training": {"epochs": 2, "batch_size": 32}},
    "data": {"regions": "abc-24-1"},
    "versions": {"torch": "2.14.1"},
    "reached": {"step": 7, "eval_r@1": 12.345},
}


def test_a_card_says_recipe_data_metrics_and_use(tmp_path: Path) -> None:
    write_model_card(tmp_path, "InterBertForImageTextRetrieval", ORIGIN)
    card = (tmp_path / CARD).read_text(encoding="utf-8")
    head = yaml.safe_load(card.split("---")[1])
    assert head["library_name"] == "interbert"
    for said in (
        "`models/pretrained`",
        "`abc-24-1`",
        "| r@1 | 12.3 |",
        "| batch_size | 32 |",
        "torch 2.14.1",
        "step 7",
    ):
        assert said in card
    assert "interbert search" in card


def test_an_unknown_model_still_gets_a_card(tmp_path: Path) -> None:
    write_model_card(tmp_path, "InterBertModel", ORIGIN | {"reached": {}})
    assert "from_pretrained" in (tmp_path / CARD).read_text(encoding="utf-8")
