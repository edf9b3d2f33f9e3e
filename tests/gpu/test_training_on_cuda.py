"""Training, resuming and scoring on a GPU: packed attention is used, no step waits, and scores are the CPU's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.conftest import tiny_config
from tests.model.test_packing_for_kernel import NO_DROPOUT, batch, contrast_of, labels_of, real_of, results, trained
from tests.training.test_training import finetune_words, log_of, pretrain_words
from torch._dynamo.utils import counters

from interbert.cli.main import main
from interbert.losses.pretraining import flat_positions
from interbert.model import modeling, varlen
from interbert.model.modeling import InterBertForImageTextRetrieval, InterBertForPreTraining
from interbert.model.scoring import encode_all, score_matrix
from interbert.training.arguments import make_optimizer
from interbert.training.options import TrainingOptions
from interbert.training.run_setup import FINISHED

SIZES = {"hidden_size": 64, "num_attention_heads": 4, "image_num_attention_heads": 2, "pooler_size": 64}
PAIR = ("input_ids", "attention_mask", "region_features", "region_locations", "region_mask")
PAIR += ("real_tokens", "real_regions")
NO_ATTENTION_DROPOUT = {name: 0.0 for name in NO_DROPOUT if "attention" in name}


def pretraining_inputs() -> dict[str, torch.Tensor]:
    """A padded batch on the GPU with all that the collator adds."""
    inputs = batch()
    inputs |= labels_of(inputs) | contrast_of(inputs)
    inputs |= real_of(inputs) | {"contrast_real_tokens": flat_positions(inputs["contrast_attention_mask"])}
    inputs |= {"contrast_same": torch.eye(len(inputs["input_ids"]), dtype=torch.bool)}
    return {name: value.cuda() for name, value in inputs.items()}


def test_losses_and_gradients_are_the_cpus() -> None:
    torch.manual_seed(0)
    model = InterBertForPreTraining(tiny_config(contrastive_size=8, **NO_DROPOUT, **SIZES)).train()
    inputs = pretraining_inputs()
    losses, gradients = results(trained(model), {name: value.cpu() for name, value in inputs.items()})
    on_gpu, gradients_on_gpu = results(trained(model.cuda()), inputs)
    for name, value in losses.items():
        torch.testing.assert_close(on_gpu[name].cpu(), value, rtol=1e-5, atol=1e-5)
    assert (gradients_on_gpu.cpu() - gradients).norm() <= 1e-4 * gradients.norm()


@pytest.mark.parametrize("attends", ["short", "varlen"])
def test_packed_batches_give_what_padded_float32_ones_give(attends: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if attends != "short":
        monkeypatch.setattr(modeling, "short_attention_fits", lambda *_: False)
    torch.manual_seed(0)
    config = tiny_config(contrastive_size=8, **NO_DROPOUT, **SIZES)
    model = InterBertForPreTraining._from_config(config, attn_implementation="sdpa").train().cuda()
    inputs = pretraining_inputs()
    real = [name for name in inputs if "real" in name]
    padded, padded_gradients = results(
        trained(model), {name: value for name, value in inputs.items() if name not in real}
    )
    with torch.autocast("cuda", dtype=torch.bfloat16):
        text = model.interbert.encode(**{name: inputs[name] for name in PAIR}).text_hidden_state
        assert not text[0, -1].any()  # zero at padding: it was packed
        losses, gradients = results(trained(model), inputs)
    for name, value in padded.items():
        torch.testing.assert_close(losses[name], value, rtol=0.02, atol=0.02)
    assert (gradients - padded_gradients).norm() <= 0.05 * padded_gradients.norm()


@pytest.mark.parametrize("attends", ["short", "varlen"])
def test_a_step_lets_the_gpu_wait_for_nothing(attends: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if attends == "varlen":
        monkeypatch.setattr(modeling, "short_attention_fits", lambda *_: False)
    torch.manual_seed(0)
    model = InterBertForPreTraining._from_config(
        tiny_config(contrastive_size=8, **SIZES, **NO_ATTENTION_DROPOUT),
        attn_implementation="sdpa",
    )
    model.train().cuda()
    optimizer = make_optimizer(model, TrainingOptions())
    inputs = pretraining_inputs()

    def step() -> None:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = trained(model)(**inputs)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_command_packs_trains_and_goes_on_after_a_stop(
    shop_store: Path, tiny_bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = []
    plain = varlen.ShortSequences.within

    def within(self: varlen.ShortSequences, qkv: torch.Tensor, dropout: float) -> torch.Tensor:
        packed.append((qkv.dtype, self.mask))
        return plain(self, qkv, dropout)

    monkeypatch.setattr(varlen.ShortSequences, "within", within)
    words = pretrain_words(shop_store, tiny_bert, tmp_path / "m", "--training.epochs", "3")
    words += ["--warm-start.head-epochs", "2", "--warm-start.epochs", "2", "--training.ema-decay", "0.9"]
    assert main(words) == 0
    assert set(packed) == {(torch.bfloat16, None)}
    whole = log_of(tmp_path / "m")
    assert all(np.isfinite(line["loss"]) for line in whole if "loss" in line)
    last = max((tmp_path / "m" / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
    expected = load_file(last / "model.safetensors")
    for file in sorted(last.iterdir()):
        file.unlink()
    last.rmdir()
    (tmp_path / "m" / FINISHED).unlink()
    assert main(words) == 0
    found = load_file(last / "model.safetensors")
    assert found.keys() == expected.keys()
    distance = sum(float((found[name] - value).square().sum()) for name, value in expected.items())
    assert distance <= 1e-4 * sum(float(value.square().sum()) for value in expected.values())


def test_fine_tuning_and_evaluation(shop_store: Path, tiny_bert: str, tmp_path: Path) -> None:
    assert main(pretrain_words(shop_store, tiny_bert, tmp_path / "p", "--training.max-steps", "2")) == 0
    words = finetune_words(tmp_path / "p", shop_store, tmp_path / "m", "--training.max-steps", "4")
    assert main([*words, "--negatives.mine", "model"]) == 0
    assert main(["evaluate", "retrieval", str(tmp_path / "m"), str(shop_store), "--text-columns", "title"]) == 0


@pytest.mark.slow
def test_compiled_training(shop_store: Path, tiny_bert: str, tmp_path: Path) -> None:
    counters.clear()
    words = pretrain_words(shop_store, tiny_bert, tmp_path / "m", "--training.max-steps", "4")
    assert main([*words, "--training.compile", "true"]) == 0
    losses = [line["loss"] for line in log_of(tmp_path / "m") if "loss" in line]
    assert losses
    assert np.isfinite(losses).all()
    assert not counters["graph_break"]


@pytest.mark.parametrize("bf16", [False, True])
def test_scores_are_the_cpus(bf16: bool) -> None:
    torch.manual_seed(0)
    model = InterBertForImageTextRetrieval._from_config(
        tiny_config(contrastive_size=8, **SIZES), attn_implementation="sdpa"
    ).eval()
    generator = np.random.default_rng(0)
    texts = [generator.integers(1, 60, length).tolist() for length in (9, 3, 5, 3, 12, 3, 5, 1)]
    images = [
        (generator.standard_normal((n, 10), dtype=np.float32), generator.random((n, 5), dtype=np.float32))
        for n in (4, 7, 1, 7, 2, 5)
    ]
    expected = score_matrix(model, texts, images, bf16=False)
    vectors = encode_all(model, texts, images)
    found = score_matrix(model.cuda(), texts, images, bf16=bf16)
    limit = 0.05 * expected.std() if bf16 else 1e-4
    assert np.abs(found - expected).max() <= limit
    for ours, theirs in zip(encode_all(model, texts, images), vectors, strict=True):
        assert np.abs(np.asarray(ours) - np.asarray(theirs)).max() <= 0.05
