from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.conftest import tiny_config

from interbert.checkpoints.bert import bert_names
from interbert.data.sampling import Cut
from interbert.errors import UsageError
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.training.arguments import attention_for_training, cut_of, trainer_arguments
from interbert.training.options import TrainingOptions


@pytest.mark.parametrize(("gpu", "expected"), [(True, "sdpa"), (False, "eager")])
def test_attention_is_what_is_fast_here(monkeypatch: pytest.MonkeyPatch, gpu: bool, expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert attention_for_training() == expected


def test_a_retrieval_model_has_every_parameter_that_fine_tuning_slows_down() -> None:
    model = InterBertForImageTextRetrieval(tiny_config())
    names = {name for name, _ in model.named_parameters()}
    slowed = bert_names(model.config, has_lm_head=False).keys() - {
        f"interbert.text_embeddings.{table}_embeddings.bias" for table in ("word", "position", "token_type")
    }
    assert slowed <= names
    assert {name.split(".")[1] for name in names - slowed} >= {"image_embeddings", "image_pooler", "text_pooler"}


def test_max_steps_only_shortens_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    short = trainer_arguments(TrainingOptions(epochs=3, max_steps=2), tmp_path, 10)
    assert short.max_steps == 2
    assert short.logging_steps == 2  # a run too short for a log line has one at its end
    assert not caplog.records
    assert trainer_arguments(TrainingOptions(epochs=3, max_steps=100), tmp_path, 10).max_steps == 30
    assert "max_steps is 100, and 3 passes (training.epochs) end after 30 steps" in caplog.text
    assert trainer_arguments(TrainingOptions(epochs=3), tmp_path, 10).max_steps == -1


def test_processes_are_those_that_the_launcher_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cut_of(TrainingOptions(gradient_accumulation=3)) == Cut(1, 0, 3)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "2")
    assert cut_of(TrainingOptions()) == Cut(4, 2, 1)


@pytest.mark.parametrize("engine", ["FSDP", "DEEPSPEED"])
def test_an_engine_that_would_be_silently_another_is_refused(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    monkeypatch.setenv(f"ACCELERATE_USE_{engine}", "true")
    with pytest.raises(UsageError, match=f"asks for {engine}"):
        cut_of(TrainingOptions())
