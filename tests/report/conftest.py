"""A pretraining run and a retrieval run of two steps, and a way to make folders that look like runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interbert.cli.main import main

BRIEF = ["--training.batch-size", "8", "--training.log-steps", "1", "--validation-share", "0.3"]


@pytest.fixture(scope="session")
def pretrained(shop_store: Path, tiny_bert: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "pretrained"
    words = ["pretrain", str(shop_store), str(out), "--init-from", tiny_bert, "--model.pooler-size", "16", *BRIEF]
    words += ["--model.contrastive-size", "16", "--negatives.hard-share", "0", "--training.max-steps", "2"]
    assert main([*words, "--warm-start.head-epochs", "0", "--warm-start.epochs", "0"]) == 0
    return out


@pytest.fixture(scope="session")
def retrieval(pretrained: Path, shop_store: Path) -> Path:
    out = pretrained.parent / "retrieval"
    words = ["finetune", "retrieval", str(pretrained), str(shop_store), str(out), *BRIEF, "--text-columns", "title"]
    assert main([*words, "--training.max-steps", "2", "--negatives.hard-share", "0"]) == 0
    return out


@pytest.fixture
def fake_run(tmp_path: Path) -> Callable[..., Path]:
    """A folder as a run leaves it, without a model."""

    def make(name: str = "run", log: list[dict[str, Any]] | None = None, **files: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        recipe = {"regions": "r", "out": name, "masking": {}, "training": {"epochs": 4.0, "learning_rate": 1e-4}}
        entries = (
            [{"step": 1, "epoch": 0.5, "loss": 2.0, "lm_loss": 9.0, "lm_loss_chance": 5.7}] if log is None else log
        )
        for file, content in ({"recipe": recipe} | files).items():
            (folder / f"{file}.json").write_text(json.dumps(content))
        (folder / "log_history.jsonl").write_text("".join(json.dumps(one) + "\n" for one in entries))
        return folder

    return make
