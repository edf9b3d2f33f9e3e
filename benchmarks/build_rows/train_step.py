"""Processor milliseconds of one thread that a training step takes for a pair: MiniLM's size, bf16, 64 pairs.

Texts of 8 to 20 tokens, 12 to 37 image tokens of 2,048 numbers, made; losses of masked tokens, masked regions and
matching, gradients clipped, AdamW; dropout as training has it by default. Then 20 steps, with --full 200, from the same
weights without dropout, which each build draws in its own way: their losses agree.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from typing import Any

import row
import torch
import train_rss
from torch import Tensor, nn

TOLERANCES = {"first_loss": 1e-3, "last_loss": 1e-3, "mean_loss": 1e-3}
_PAIRS, _TOKENS, _REGIONS, _FEATURES, _BATCHES, _TIMED = 64, (8, 20), (12, 37), 2048, 4, 8
_SIZES: dict[str, Any] = {
    **row.MINI,
    "attention_probs_dropout_prob": 0.0,
    "image_attention_probs_dropout_prob": 0.0,
}
Batch = dict[str, Tensor]


def prepare(setting: row.Setting) -> None:
    """Nothing."""


def measure(setting: row.Setting) -> dict[str, Any]:
    """Steps with dropout for their time, and without for their losses."""
    train_rss.keep_freed_memory()
    torch.set_num_threads(1)
    step, _ = _training(0.1)
    for number in range(2):
        step(number)
    started = time.process_time()
    for number in range(_TIMED):
        step(number)
    value = 1000 * (time.process_time() - started) / _TIMED / _PAIRS
    step, losses = _training(0.0)
    for number in range(200 if setting.full else 20):
        step(number)
    equal = {"first_loss": losses[0], "last_loss": losses[-1], "mean_loss": sum(losses) / len(losses)}
    return {"value": value, "unit": "ms a pair", "pairs_per_second": 1000 / value, "equal": equal}


def _training(dropout: float) -> tuple[Callable[[int], None], list[float]]:
    """A step by its number, and the list that its loss goes to."""
    from interbert.model.configuration import InterBertConfig
    from interbert.model.modeling import InterBertForPreTraining

    shares: dict[str, Any] = {f"{side}hidden_dropout_prob": dropout for side in ("", "image_")} | {
        "fusion_dropout_prob": dropout
    }
    config = InterBertConfig(**(_SIZES | shares))
    config._attn_implementation = "eager"  # what training on a CPU chooses
    torch.manual_seed(0)
    model = InterBertForPreTraining(config).train()
    _same_weights(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    batches = [_batch(config, seed) for seed in range(_BATCHES)]
    losses: list[float] = []

    def step(number: int) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = _loss(model, batches[number % _BATCHES])
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))

    return step, losses


def _loss(model: Any, batch: Batch) -> Tensor:
    try:
        from interbert.tasks.pretraining import pretraining_losses
    except ImportError:  # the earlier build has the losses in the model, and other names
        names = {"real_tokens": "real_pieces", "predicted_tokens": "predicted_pieces"}
        loss: Tensor = model(**{names.get(name, name): value for name, value in batch.items()}).loss
        return loss
    return pretraining_losses(model, batch)["loss"]


def _same_weights(model: nn.Module) -> None:
    """Matrices by their names, so that no build's order of drawing matters."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim > 1:
                value.normal_(std=0.02, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))


def _batch(config: Any, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def mask(least: int, most: int) -> Tensor:
        lengths = torch.randint(least, most + 1, (_PAIRS,), generator=generator)
        return (torch.arange(most) < lengths[:, None]).long()

    text, image = mask(*_TOKENS), mask(*_REGIONS)
    ids = torch.randint(1000, config.vocab_size, text.shape, generator=generator)
    masked = (torch.rand(text.shape, generator=generator) < 0.3) & text.bool()
    hidden = (torch.rand(image.shape, generator=generator) < 0.25) & image.bool()
    hidden[:, 0] = False
    match = torch.randint(0, 2, (_PAIRS,), generator=generator)
    shown = hidden & (match == 0)[:, None]
    targets = torch.rand(int(shown.sum()), config.region_target_size, generator=generator)
    return {
        "input_ids": ids,
        "attention_mask": text,
        "region_features": torch.randn(*image.shape, _FEATURES, generator=generator),
        "region_locations": torch.rand(*image.shape, 5, generator=generator),
        "region_mask": image,
        "matching_labels": match,
        "lm_labels": ids.masked_fill(~masked, -100),
        "masked_regions": hidden,
        "region_targets": targets.softmax(-1),
        "real_tokens": text.flatten().nonzero()[:, 0],
        "real_regions": image.flatten().nonzero()[:, 0],
        "predicted_tokens": masked.flatten().nonzero()[:, 0],
        "predicted_regions": shown.flatten().nonzero()[:, 0],
    }


if __name__ == "__main__":
    row.main(__doc__, prepare, measure)
