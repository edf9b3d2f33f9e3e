"""How much of a device's own matrix rate a training step uses (model FLOPs utilisation), and memory per sample.

    python benchmarks/mfu.py                      # base size on the GPU, or small on a CPU
    python benchmarks/mfu.py --size base --batch-size 256 --compile

Measures bf16 matrix products of the device first, then pretraining steps of this library's model, its losses and its
optimizer on synthetic batches: 36 regions and the global token, 20 word pieces, nothing padded. FLOPs are counted from
the shapes (two per multiply-add of every matrix product and of attention; backward twice the forward), not from a
profiler. Prints rounds' median [least, most]; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import InterBertForPreTraining
from interbert.objectives.positions import flat_positions
from interbert.training.provenance import versions

PIECES, REGIONS = 20, 37
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
    parser.add_argument("--batch-size", type=int, default=256 if gpu else 32)
    parser.add_argument("--steps", type=int, default=20 if gpu else 4, help="steps of a round")
    parser.add_argument("--rounds", type=int, default=5 if gpu else 3)
    parser.add_argument("--compile", action="store_true", help="compile the model")
    arguments = parser.parse_args()
    device = torch.device("cuda" if gpu else "cpu")
    config = InterBertConfig(**SIZES[arguments.size])
    config._attn_implementation = "sdpa" if gpu else "eager"
    torch.manual_seed(0)
    model = InterBertForPreTraining(config).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    batch, predicted = synthetic_batch(config, arguments.batch_size, device)
    forward: Callable[..., Any] = torch.compile(model) if arguments.compile else model

    def step() -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = forward(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    per_pair = step_flops(config, *predicted) / arguments.batch_size
    own, pairs, shares = [], [], []
    step()
    for _ in range(arguments.rounds):
        rate = matrix_rate(device)
        step()
        _wait(device)
        started = time.perf_counter()
        for _ in range(arguments.steps):
            step()
        _wait(device)
        seconds = (time.perf_counter() - started) / arguments.steps
        own.append(rate / 1e12)
        pairs.append(arguments.batch_size / seconds)
        shares.append(100 * per_pair * pairs[-1] / rate)
    line: dict[str, Any] = {"size": arguments.size, "batch_size": arguments.batch_size, "compile": arguments.compile}
    print(f"{torch.cuda.get_device_name() if gpu else 'CPU'}, {arguments.size}: {per_pair / 1e9:.1f} GFLOP a pair")
    for name, values in (("own bf16 TFLOP/s", own), ("pairs/s", pairs), ("share of it in %", shares)):
        print(f"{name:<18} {np.median(values):,.1f} [{min(values):,.1f}, {max(values):,.1f}]")
        line[name] = round(float(np.median(values)), 2)
    if gpu:
        weights = sum(value.numel() * 16 for value in model.parameters())  # weights, gradients, two moments
        held = torch.cuda.max_memory_allocated() - weights
        line["MiB per pair"] = round(held / arguments.batch_size / 2**20, 2)
        print(f"{'MiB per pair':<18} {line['MiB per pair']} beside {weights / 2**30:.1f} GiB of weights and moments")
    print(json.dumps(line | {"versions": versions()}))


def synthetic_batch(
    config: InterBertConfig, pairs: int, device: torch.device
) -> tuple[dict[str, Tensor], tuple[int, int, int]]:
    """A pretraining batch, and how many pairs, pieces and regions it has to predict."""
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
        "lm_labels": ids.masked_fill(~masked, -100),
        "masked_regions": hidden,
        "region_targets": torch.rand(pairs, REGIONS, config.region_target_size, generator=generator).softmax(-1),
        "matching_labels": match,
        "predicted_pieces": flat_positions(masked),
        "predicted_regions": flat_positions(hidden & (match == 0)[:, None]),
    }
    counts = (pairs, len(batch["predicted_pieces"]), len(batch["predicted_regions"]))
    return {name: value.to(device) for name, value in batch.items()}, counts


def step_flops(config: InterBertConfig, pairs: int, pieces: int, regions: int) -> float:
    """Floating-point operations of forward and backward of a batch, two per multiply-add."""
    hidden = config.hidden_size

    def layers(number: int, length: int, intermediate: int) -> float:
        weights = 4 * hidden * hidden + 2 * hidden * intermediate
        return number * (2 * length * weights + 4 * length * length * hidden)

    trunk = layers(config.num_interaction_layers, PIECES + REGIONS, config.intermediate_size)
    trunk += layers(config.num_text_layers, PIECES, config.intermediate_size)
    trunk += layers(config.num_image_layers, REGIONS, config.image_intermediate_size)
    trunk += 2 * REGIONS * hidden * (config.region_feature_size + 5) + 4 * hidden * config.pooler_size
    heads = 2 * pieces * hidden * (hidden + config.vocab_size)
    heads += 2 * regions * hidden * (hidden + config.region_target_size)
    return 3 * (pairs * trunk + heads)


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
