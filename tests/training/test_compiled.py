"""Training with ``training.compile``: what compilers see of whole runs. No code is generated, which takes minutes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import AT_LENGTH
from tests.training.test_training import finetune_words, log_of, pretrain_words
from torch._dynamo.utils import counters

from interbert.cli.main import main
from interbert.training import arguments

GRAPHS = 4
"""The first batch's, any batch's, and those of batches with no region to predict or of another number of pairs."""


# aot_eager traces the backward pass too, which takes longer than the rest: fine-tuning's graph is the smaller one, and
# tests/training/test_processes.py and tests/model/test_short_attention.py have pretraining's
BACKENDS = {"pretrain": "eager", "finetune": "aot_eager"}


@pytest.fixture
def traced(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = arguments.TrainingArguments

    def with_backend(**settings: object) -> arguments.TrainingArguments:
        return plain(**settings | ({"torch_compile_backend": BACKENDS[task]} if settings["torch_compile"] else {}))

    monkeypatch.setattr(arguments, "TrainingArguments", with_backend)
    torch.compiler.reset()
    counters.clear()


def losses_of(out: Path) -> list[float]:
    return [line["loss"] for line in log_of(out) if "loss" in line]


@AT_LENGTH
@pytest.mark.parametrize("task", ["pretrain", "finetune"])
def test_a_run_is_traced_in_one_piece_and_for_any_batch(
    task: str, shop_store: Path, tiny_bert: str, tmp_path: Path, traced: None
) -> None:
    options = ["--training.max-steps", "12", "--training.epochs", "9", "--training.precision", "fp32"]
    options += ["--training.log-steps", "1"]
    steady = ["--model.dropout", "0"]  # padding, which is not computed without a compiler, draws other numbers

    def run(name: str, *more: str) -> list[float]:
        out = tmp_path / name
        if task == "pretrain":
            words = pretrain_words(shop_store, tiny_bert, out, *steady, *options, *more)
        else:
            words = finetune_words(tmp_path / "start", shop_store, out, "--dropout", "0", *options, *more)
        assert main(words) == 0
        return losses_of(out)

    if task == "finetune":
        start = pretrain_words(shop_store, tiny_bert, tmp_path / "start", *steady, "--training.max-steps", "1")
        assert main(start) == 0
    plain = run("plain")
    compiled = run("compiled", "--training.compile", "true")
    assert len(plain) == 12
    assert not counters["graph_break"]
    assert 1 <= counters["stats"]["unique_graphs"] <= GRAPHS
    np.testing.assert_allclose(compiled, plain, rtol=1e-4)
