"""How much of a device's own matrix rate a training step uses (model FLOPs utilisation), and memory per sample.

    python benchmarks/mfu.py                      # base size on the GPU, or small on a CPU
    python benchmarks/mfu.py --size base --batch-size 2048 --compile
    python benchmarks/mfu.py --varied [--compile] # what packed attention gives on a GPU
    python benchmarks/mfu.py --kernels others     # without our kernels for short sequences

Measures bf16 matrix products of the device first, then pretraining steps of this library's model, its losses and its
optimizer on synthetic batches: 36 regions and the global token, 20 tokens, nothing padded. FLOPs are counted from
the shapes (two per multiply-add of every matrix product and of attention; backward twice the forward), not from a
profiler. Prints rounds' median [least, most]; the last line is JSON.

With `--varied` pairs have 10 to 36 regions and 8 to 20 tokens, and FLOPs are those of real tokens. On a GPU packed and
padded steps are then timed in turn; with `--kernels others` both without dropout on attention weights unless flash-attn
is installed, PyTorch's own having none. A CPU always packs.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interbert.losses.pretraining import flat_positions
from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import InterBertForPreTraining
from interbert.model.short_attention import SWITCH, short_attention_fits
from interbert.model.varlen import varlen_kernel
from interbert.tasks.base import TaskModule
from interbert.tasks.pretraining import pretraining_losses
from interbert.training.model_card import versions

PIECES, REGIONS = 20, 37
OURS = "our kernels for short sequences"
FEWEST_PIECES, FEWEST_REGIONS = 8, 11
"""Of ``--varied``; regions count the global token."""
SIZES: dict[str, dict[str, Any]] = {
    "base": {},
    "mini": {
        "hidden_size": 384,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
        "num_interaction_layers": 3,
        "num_text_layers": 3,
        "num_image_layers": 3,
        "image_num_attention_heads": 12,
        "image_intermediate_size": 1536,
        "pooler_size": 384,
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    gpu = torch.cuda.is_available()
    parser.add_argument("--size", choices=SIZES, default="base" if gpu else "mini")
    parser.add_argument("--batch-size", type=int, default=1024 if gpu else 32)
    parser.add_argument("--steps", type=int, default=20 if gpu else 4, help="steps of a round")
    parser.add_argument("--rounds", type=int, default=5 if gpu else 3)
    parser.add_argument("--compile", action="store_true", help="compile the model")
    parser.add_argument("--kernels", choices=("ours", "others"), default="ours", help="what attends on a GPU")
    parser.add_argument("--varied", action="store_true", help="pairs of different length, packed and padded in turn")
    arguments = parser.parse_args()
    ours = arguments.kernels == "ours"
    if arguments.varied and arguments.compile and not gpu:
        parser.error("--compile keeps batches padded on a CPU, so --varied would compare nothing.")
    device = torch.device("cuda" if gpu else "cpu")
    config = InterBertConfig(**SIZES[arguments.size])
    config._attn_implementation = "sdpa" if gpu else "eager"
    if not ours:
        os.environ[SWITCH] = "0"
    kernel = choose_kernel(config, device, ours) if arguments.varied and gpu else None
    if arguments.compile and kernel not in (None, OURS):
        parser.error(f"--compile keeps batches padded with {kernel}, so --varied would compare nothing.")
    torch.manual_seed(0)
    model = InterBertForPreTraining(config).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    batch, flops = synthetic_batch(config, arguments.batch_size, device, arguments.varied)
    forward: Callable[..., Any] = TaskModule(model, pretraining_losses)
    if arguments.compile:
        forward = torch.compile(forward, dynamic=arguments.varied or None)  # for batches of any number of tokens
    inputs = {"": batch}
    if kernel is not None:
        padded = {name: value for name, value in batch.items() if not name.startswith("real_")}
        inputs = {"packed ": batch, "padded ": padded}
    weights = sum(value.numel() * 16 for value in model.parameters())  # weights, gradients, two moments
    measured: dict[str, list[float]] = {}

    def step(way: str) -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = forward(**inputs[way])["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def measure(way: str) -> None:
        rate = matrix_rate(device)
        if gpu:
            torch.cuda.reset_peak_memory_stats()
        step(way)
        _wait(device)
        started = time.perf_counter()
        for _ in range(arguments.steps):
            step(way)
        _wait(device)
        pairs = arguments.batch_size * arguments.steps / (time.perf_counter() - started)
        measured.setdefault("own bf16 TFLOP/s", []).append(rate / 1e12)
        measured.setdefault(f"{way}pairs/s", []).append(pairs)
        measured.setdefault(f"{way}share of it in %", []).append(100 * flops / arguments.batch_size * pairs / rate)
        if gpu:
            held = torch.cuda.max_memory_allocated() - weights
            measured.setdefault(f"{way}MiB per pair", []).append(held / arguments.batch_size / 2**20)

    for way in inputs:
        step(way)
    for number in range(arguments.rounds):
        for way in list(inputs)[:: -1 if number % 2 else 1]:
            measure(way)
    options = ("size", "batch_size", "compile", "varied", "kernels")
    line: dict[str, Any] = {name: getattr(arguments, name) for name in options} | {"kernel": kernel}
    print(f"{torch.cuda.get_device_name() if gpu else 'CPU'}, {arguments.size}: ", end="")
    print(f"{flops / arguments.batch_size / 1e9:.1f} GFLOP a pair")
    if kernel is not None:
        dropout = config.attention_probs_dropout_prob
        print(f"packed attention by {kernel}; dropout of attention weights {dropout} in both")
    for name, values in measured.items():
        print(f"{name:<24} {np.median(values):,.1f} [{min(values):,.1f}, {max(values):,.1f}]")
        line[name] = round(float(np.median(values)), 2)
    if gpu:
        print(f"MiB per pair are beside {weights / 2**30:.1f} GiB of weights and moments")
    print(json.dumps(line | {"versions": versions()}))


def choose_kernel(config: InterBertConfig, device: torch.device, ours: bool) -> str:
    """Name of what attends in packed batches; where it drops no weights, no layer of ``config`` does from now on."""
    heads = [config.hidden_size // config.num_attention_heads, config.hidden_size // config.image_num_attention_heads]
    if ours and short_attention_fits(device, torch.bfloat16, PIECES + REGIONS, heads):
        return OURS
    if varlen_kernel(device, torch.bfloat16, 0.1, heads) is not None:
        return "flash-attn"
    config.attention_probs_dropout_prob = config.image_attention_probs_dropout_prob = 0.0
    if varlen_kernel(device, torch.bfloat16, 0.0, heads) is not None:
        return "PyTorch's varlen_attn"
    raise SystemExit("Nothing attends in packed sequences on this card: packed batches cannot be measured.")


def synthetic_batch(
    config: InterBertConfig, pairs: int, device: torch.device, varied: bool
) -> tuple[dict[str, Tensor], float]:
    """A pretraining batch, and the FLOPs of a step with it."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1000, config.vocab_size, (pairs, PIECES), generator=generator)
    masked = torch.rand(pairs, PIECES, generator=generator) < 0.3
    hidden = torch.rand(pairs, REGIONS, generator=generator) < 0.25
    hidden[:, 0] = False
    match = torch.randint(0, 2, (pairs,), generator=generator)
    corners = torch.rand(pairs, REGIONS, 5, generator=generator)
    batch = {
        "input_ids": ids,
        "region_features": torch.randn(pairs, REGIONS, config.region_feature_size, generator=generator),
        "region_locations": corners,
        "matching_labels": match,
    }
    tokens, regions = torch.full((pairs,), PIECES), torch.full((pairs,), REGIONS)
    if varied:
        tokens = torch.randint(FEWEST_PIECES, PIECES + 1, (pairs,), generator=generator)
        regions = torch.randint(FEWEST_REGIONS, REGIONS + 1, (pairs,), generator=generator)
        batch["attention_mask"] = (torch.arange(PIECES) < tokens[:, None]).long()
        batch["region_mask"] = (torch.arange(REGIONS) < regions[:, None]).long()
        batch["real_tokens"] = flat_positions(batch["attention_mask"])
        batch["real_regions"] = flat_positions(batch["region_mask"])
        masked &= batch["attention_mask"].bool()
        hidden &= batch["region_mask"].bool()
    batch |= {
        "lm_labels": ids.masked_fill(~masked, -100),
        "masked_regions": hidden,
        "predicted_tokens": flat_positions(masked),
        "predicted_regions": flat_positions(hidden, match),
    }
    predicted = len(batch["predicted_tokens"]), len(batch["predicted_regions"])
    batch["region_targets"] = torch.rand(predicted[1], config.region_target_size, generator=generator).softmax(-1)
    flops = step_flops(config, tokens.double().numpy(), regions.double().numpy(), *predicted)
    if device.type == "cuda":  # as training loads them there
        batch["region_features"] = batch["region_features"].bfloat16()
    return {name: value.to(device) for name, value in batch.items()}, flops


def step_flops(
    config: InterBertConfig,
    tokens: NDArray[np.float64],
    regions: NDArray[np.float64],
    predicted_tokens: int,
    predicted_regions: int,
) -> float:
    """Floating-point operations of forward and backward of a batch, two per multiply-add.

    Args:
        config: of the model.
        tokens, regions: [B] tokens and image tokens of each pair.
        predicted_tokens, predicted_regions: how many there are.
    """
    hidden = config.hidden_size

    def layers(number: int, lengths: NDArray[np.float64], intermediate: int) -> float:
        weights = 4 * hidden * hidden + 2 * hidden * intermediate
        return number * float((2 * lengths * weights + 4 * lengths * lengths * hidden).sum())

    trunk = layers(config.num_interaction_layers, tokens + regions, config.intermediate_size)
    trunk += layers(config.num_text_layers, tokens, config.intermediate_size)
    trunk += layers(config.num_image_layers, regions, config.image_intermediate_size)
    trunk += 2 * float(regions.sum()) * hidden * (config.region_feature_size + 5)
    trunk += len(tokens) * 4 * hidden * config.pooler_size
    heads = 2 * predicted_tokens * hidden * (hidden + config.vocab_size)
    heads += 2 * predicted_regions * hidden * (hidden + config.region_target_size)
    return 3 * (trunk + heads)


def matrix_rate(device: torch.device) -> float:
    """bf16 operations per second of the device's best large matrix product."""
    best = 0.0
    for size in (4096, 8192) if device.type == "cuda" else (1024, 2048):
        left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
        times = 30 if device.type == "cuda" else 3
        left @ right
        _wait(device)
        started = time.perf_counter()
        for _ in range(times):
            left @ right
        _wait(device)
        best = max(best, 2 * size**3 * times / (time.perf_counter() - started))
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
