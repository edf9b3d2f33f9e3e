"""Fine-tuning keeps in the model which candidates searches read, and says so."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from tests.conftest import tiny_config

from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.tasks.metrics import Estimate
from interbert.tasks.rerank_depth import RerankDepth
from interbert.training.finetune import _choose_depth

DEPTH = RerankDepth(8, 0.5, -1.25, 5.04, Estimate(0.001, 0.0, 0.0025))


def task(found: RerankDepth | None) -> Any:
    return SimpleNamespace(rerank_depth=lambda model: found, deepest=32, data_size="500 validation images")


def test_depth_and_reach_are_kept_and_said(caplog: pytest.LogCaptureFixture) -> None:
    model = InterBertForImageTextRetrieval(tiny_config(contrastive_size=8, dual_score_weight=3.0))
    with caplog.at_level(logging.INFO, "interbert"):
        _choose_depth(model, task(DEPTH))
    assert (model.config.rerank_depth, model.config.rerank_reach, model.config.unread_score) == (8, 0.5, -1.25)
    assert "of 32 candidates 5.0 are read" in caplog.text
    assert "R@1 -0.1 [-0.2, -0.0] on 500 validation images" in caplog.text


def test_without_a_depth_every_candidate_is_read(caplog: pytest.LogCaptureFixture) -> None:
    model = InterBertForImageTextRetrieval(tiny_config(contrastive_size=8, dual_score_weight=3.0))
    with caplog.at_level(logging.INFO, "interbert"):
        _choose_depth(model, task(None))
    assert model.config.rerank_depth is None
    assert "every candidate is read" in caplog.text


@pytest.mark.parametrize("fields", [{"dual_score_weight": None}, {"dual_score_weight": 3.0, "dual_score_offset": -1.0}])
def test_a_model_that_mixes_nothing_has_none(fields: dict[str, float | None]) -> None:
    model = InterBertForImageTextRetrieval(tiny_config(contrastive_size=8, **fields))
    _choose_depth(model, task(DEPTH))
    assert model.config.rerank_depth is None
