"""Our attention kernels for short sequences beside PyTorch's attention, forward and backward, on a GPU.

    python benchmarks/short_attention.py
    python benchmarks/short_attention.py --tune    # every size of block that is worth a try, and the fastest
    python benchmarks/short_attention.py --build   # without a GPU: what the kernels take of each kind of card

Sequences as at base size in pretraining: 57 tokens of 12 heads of 64 (joint), 20 of the same (text), 37 of 8 heads of
96 (image), nothing padded, bf16, dropout 0.1 of the weights and none. Prints milliseconds (medians, by CUDA events) and
the memory traffic over them: queries, keys, values and outputs once, in backward their gradients too. The last line is
JSON. With `--build` it has registers, bytes of them that spill and shared memory for each kind of card.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from dataclasses import asdict

import torch
from gpu_builds import Build, build
from torch import Tensor

from interbert.model import short_attention_kernels as kernels
from interbert.training.model_card import versions

SHAPES = {"joint": (57, 64, 12), "text": (20, 64, 12), "image": (37, 96, 8)}
"""Tokens, head size, heads."""
BLOCKS = [(16, 2), (32, 2), (16, 4), (32, 4), (64, 4), (16, 8), (32, 8), (64, 8)]
"""Queries of a block, and warps."""
CARDS = {80: 163, 86: 99, 90: 227, 100: 227, 120: 99}
"""Compute capability -> KiB of shared memory that one block may take: A100, A10 (89 likewise), H200, B200, RTX 50."""
BUILDS = [(57, 64), (20, 64), (37, 96), (128, 64), (128, 128)]
"""Longest sequence and head size: base size in pretraining, and the largest that are taken."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1024)
    parser.add_argument("--tune", action="store_true", help="try blocks of every size")
    parser.add_argument(
        "--build", nargs="*", type=int, choices=CARDS, help="compile for cards that need not be here; all of these"
    )
    arguments = parser.parse_args()
    if arguments.build is not None:
        build_all(arguments.build or list(CARDS))
        return
    if not torch.cuda.is_available():
        parser.error("there is no CUDA device here.")
    line: dict[str, object] = {"device": torch.cuda.get_device_name(), "pairs": arguments.pairs}
    for name, (length, size, heads) in SHAPES.items():
        torch.manual_seed(0)
        qkv = torch.randn(arguments.pairs * length, 3, heads, size, device="cuda", dtype=torch.bfloat16)
        for dropout in (0.0, 0.1):
            ours, theirs = our_passes(qkv, length, dropout), their_passes(qkv, length, dropout)
            for which, tensors in (("forward", 4), ("backward", 7)):
                if arguments.tune and dropout:
                    line[f"{name} {which} blocks"] = tune(which, length, size, ours[which])
                mine, other = milliseconds(ours[which]), milliseconds(theirs[which])
                rate = tensors * qkv.numel() // 3 * qkv.element_size() / mine / 1e9
                print(f"{name:<6} {which:<8} dropout {dropout}: {mine:.3f} ms, PyTorch {other:.3f} ms, ", end="")
                print(f"{other / mine:.2f} times as fast, {rate:.2f} TB/s", flush=True)
                line[f"{name} {which} {dropout}"] = [round(mine, 4), round(other, 4)]
    print(json.dumps(line | {"versions": versions()}))


def build_all(cards: list[int]) -> None:
    """Compile both passes for every card, and tell what they take."""
    table: dict[str, dict[str, int]] = {}
    for capability in cards:
        for which, (longest, size) in itertools.product(("forward", "backward"), BUILDS):
            found = build_one(which, longest, size, capability)
            name = f"{capability} {which} {longest} {size}"
            table[name] = asdict(found)
            print(f"{name:<22} {found.registers:>3} registers, {found.spilled:>3} bytes spilled, ", end="")
            print(f"{found.shared / 2**10:>5.1f} of {CARDS[capability]} KiB shared, ", end="")
            print(f"{found.instructions:,} instructions")
    print(json.dumps(table))


def build_one(which: str, longest: int, size: int, capability: int) -> Build:
    """One pass as :mod:`interbert.model.short_attention_kernels` launches it in training, nothing padded."""
    kernel = getattr(kernels, f"_{which}")
    constants = kernels.options(which, longest, size, first_only=False, masked=False, drops=True)
    warps, _ = constants.pop("num_warps"), constants.pop("num_stages")
    known = dict.fromkeys(constants, "constexpr") | {"scale": "fp32", "share": "fp32", "total": "i32", "mask": "*u8"}
    known |= {"starts": "*i32", "seed": "*i32"}
    steps = {name: "i32" for name in kernel.arg_names if name.endswith(("_row", "_head"))}
    tensors = {name: "*bf16" for name in kernel.arg_names if name not in known | steps}
    return build(kernel, known | steps | tensors, constants, [*steps, *tensors], capability, warps)


def our_passes(qkv: Tensor, length: int, dropout: float) -> dict[str, Callable[[], object]]:
    """Forward and backward of the kernels."""
    starts = torch.arange(0, len(qkv) + 1, length, dtype=torch.int32, device="cuda")
    seed = torch.tensor([1, 2], dtype=torch.int32, device="cuda") if dropout else None
    out, gradient, found = torch.empty_like(qkv[:, 0]), torch.randn_like(qkv[:, 0]), torch.empty_like(qkv)
    query, key, value = qkv.unbind(1)
    of_query, of_key, of_value = found.unbind(1)

    def backward() -> None:
        kernels.backward(gradient, query, key, value, of_query, of_key, of_value, starts, length, None, dropout, seed)

    return {
        "forward": lambda: kernels.forward(query, key, value, out, starts, length, None, dropout, seed),
        "backward": backward,
    }


def their_passes(qkv: Tensor, length: int, dropout: float) -> dict[str, Callable[[], object]]:
    """The same of ``scaled_dot_product_attention``; its three gradients are not brought into one tensor."""
    size, heads = qkv.shape[3], qkv.shape[2]
    sides = [one.view(-1, length, heads, size).transpose(1, 2).detach().requires_grad_() for one in qkv.unbind(1)]
    query, key, value = sides

    def attend() -> Tensor:
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout)

    found = attend()
    gradient = torch.randn_like(found)
    return {
        "forward": attend,
        "backward": lambda: torch.autograd.grad(found, sides, gradient, retain_graph=True),
    }


def tune(which: str, length: int, size: int, run: Callable[[], object]) -> dict[str, float]:
    """Milliseconds for each size of block; the fastest stays."""
    columns, width = kernels.block_of(length), kernels.block_of(size)
    times: dict[tuple[int, int], float] = {}
    for block in BLOCKS:
        if block[0] <= columns:
            kernels.BLOCKS[which, columns, width] = block
            times[block] = milliseconds(run)
    kernels.BLOCKS[which, columns, width] = best = min(times, key=lambda block: times[block])
    print(f"blocks of {which}, {columns} keys of {width}: {best} is the fastest")
    return {f"{rows} queries, {warps} warps": round(value, 4) for (rows, warps), value in times.items()}


def milliseconds(run: Callable[[], object]) -> float:
    """Median of a pass."""
    from triton.testing import do_bench

    return float(do_bench(run, warmup=10, rep=40, return_mode="median"))


if __name__ == "__main__":
    main()
