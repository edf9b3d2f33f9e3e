"""What `torch.compile` makes of a training step for an H200, counted without one.

    python benchmarks/compiled_step.py
    python benchmarks/compiled_step.py --dropout theirs    # PyTorch's dropout in place of model/dropout.py

A step of `mfu.py` is traced with tensors that hold nothing, its graph is said to be on the card, and PyTorch's compiler
writes the kernels. Printed are the bytes that they read and write, how many are launched, how many elements ask a
generator of random numbers, and for the largest what Triton makes of them: instructions of a thread that treats eight
elements, registers. Products of matrices and attention are not in these numbers. The milliseconds are a bound, not a
measurement: bytes at 4 TB/s or instructions at four a cycle and multiprocessor, whichever takes longer. The last line
is JSON.

Parts of PyTorch that are nobody's interface are replaced to do so: seen to work with torch 2.11 and 2.14.
"""

from __future__ import annotations

import argparse
import collections
import copy
import importlib.util
import inspect
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
import torch._dynamo.device_interface as devices
import torch._inductor.codegen.triton as triton_code
import torch._refs
from gpu_builds import Build, build
from mfu import SIZES, synthetic_batch
from torch import Tensor, fx, nn
from torch._guards import detect_fake_mode
from torch._inductor import compile_fx, config, decomposition
from torch._inductor.graph import GraphLowering
from torch._inductor.virtualized import V
from torch._prims_common.wrappers import out_wrapper
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.passes.fake_tensor_prop import FakeTensorProp
from torch.utils import _triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from interbert.model import dropout, modeling
from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import InterBertForPreTraining
from interbert.tasks.base import TaskModule
from interbert.tasks.pretraining import pretraining_losses
from interbert.training.model_card import versions

CARD = torch.device("cuda:0")
CAPABILITY = 90
H200 = SimpleNamespace(
    name="NVIDIA H200",
    major=9,
    minor=0,
    multi_processor_count=132,
    warp_size=32,
    max_threads_per_block=1024,
    max_threads_per_multi_processor=2048,
    regs_per_multiprocessor=65536,
    shared_memory_per_block_optin=227 * 2**10,
    total_memory=141 * 10**9,
    L2_cache_size=60 * 2**20,
)
BANDWIDTH = 4.0e12
"""Bytes a second that kernels reach of 4.8e12."""
ISSUED = 132 * 4 * 32 * 1.7e9
"""Instructions of single threads a second."""
THREAD = 8
"""Elements of a thread."""
_KERNEL = re.compile(r"(triton_\w+) = async_compile\.triton\('\1', '''(.*?)'''", re.DOTALL)
_RANDOM = re.compile(r"tl\.rand|randint64|tl\.randn")
_SMALL = 1e6
"""Kernels that move fewer bytes are counted and not listed."""


class WrittenError(Exception):
    """The kernels are written; nothing is to be run."""


@dataclass
class Kernel:
    """A kernel of the step."""

    name: str
    text: str
    calls: int
    moved: float
    """Bytes of one call."""

    @property
    def random(self) -> bool:
        """Whether each element asks a generator."""
        return _RANDOM.search(self.text) is not None and self.moved > _SMALL

    @property
    def loops(self) -> bool:
        """Whether its instructions are run more than once, so that their number says nothing."""
        return self.name.startswith("triton_red")

    @property
    def in_rows(self) -> bool:
        """Whether a block of threads treats a row, and not as many elements as it likes."""
        return self.name.startswith("triton_per")

    def elements(self) -> int:
        """That one call treats."""
        return self._size("xnumel") * (self._size("r0_numel") or 1)

    def threads(self) -> float:
        """That one call starts; rows are filled up to a power of two."""
        row = 1 << (self._size("r0_numel") - 1).bit_length() if self.in_rows else 1
        return self._size("xnumel") * row / THREAD

    def _size(self, name: str) -> int:
        found = re.search(rf"    {name} = (\d+)", self.text)
        return int(found[1]) if found else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="base")
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--dropout", choices=("ours", "theirs"), default="ours")
    parser.add_argument("--varied", action="store_true", help="pairs of different length, packed")
    parser.add_argument("--rows", type=int, default=12, help="largest kernels to list, of each pass")
    arguments = parser.parse_args()
    pretend(ours=arguments.dropout == "ours")
    torch.manual_seed(0)
    settings = InterBertConfig(**SIZES[arguments.size])
    settings._attn_implementation = "sdpa"
    batch, _ = synthetic_batch(settings, arguments.batch_size, torch.device("cpu"), arguments.varied)
    batch["region_features"] = batch["region_features"].bfloat16()  # as training loads them for a GPU
    line: dict[str, Any] = {name: getattr(arguments, name) for name in ("size", "batch_size", "dropout", "varied")}
    for name, code in written(settings, batch).items():
        found = kernels_of(code)
        moved = sum(one.calls * one.moved for one in found)
        random = sum(one.calls * one.elements() for one in found if one.random)
        launches = sum(one.calls for one in found)
        print(f"{name}: {moved / 1e9:.1f} GB in {launches} launches, {random / 1e6:,.0f} million random numbers")
        bound = sum(listed(found, arguments.rows))
        print(f"  at least {bound * 1e3:.1f} ms")
        line[name] = {"GB": round(moved / 1e9, 2), "launches": launches, "random": random, "ms": round(bound * 1e3, 2)}
    print(json.dumps(line | {"versions": versions()}))


def listed(kernels: list[Kernel], rows: int) -> Iterator[float]:
    """Print the largest; yields seconds that all calls of each take at least."""
    for number, one in enumerate(sorted(kernels, key=lambda one: -one.calls * one.moved)):
        seconds, taken = one.moved / BANDWIDTH, None
        if one.moved > _SMALL and not one.loops:
            taken = built(one)
            seconds = max(seconds, one.threads() * taken.instructions / ISSUED)
        yield one.calls * seconds
        if number < rows:
            print(f"  {one.calls:>3} x {one.moved / 1e6:>7,.1f} MB, {seconds * 1e3:.3f} ms", end="")
            print(f", {taken.instructions:>4} instructions, {taken.registers:>3} registers" if taken else "", end="")
            print(f"{', random' if one.random else ''}: {one.name[:90]}")


def pretend(ours: bool) -> None:
    """Let the compiler believe in the card, and the model on the CPU go the ways of CUDA."""
    config.fx_graph_cache = False
    config.benchmark_kernel = True  # writes down the bytes
    card: Any = devices.CudaInterface
    replaced: list[tuple[Any, str, Any]] = [
        (card, "is_available", staticmethod(lambda: True)),
        (card, "get_compute_capability", staticmethod(lambda device=None: CAPABILITY)),
        (card, "get_device_properties", staticmethod(lambda device=None: H200)),
        (card.Worker, "get_device_properties", staticmethod(lambda device=None: H200)),
        (torch.cuda, "get_device_properties", lambda device=None: H200),
        (torch.cuda, "get_device_capability", lambda device=None: (9, 0)),
        (torch.cuda, "current_device", lambda: 0),
        (torch.cuda, "device_count", lambda: 1),
        (compile_fx, "_check_triton_bf16_support", lambda *_: None),
        (_triton, "triton_hash_with_backend", lambda *_: ""),
        (triton_code, "triton_hash_with_backend", lambda *_: ""),
        (modeling, "short_attention_fits", lambda *_: True),
        (modeling.LayerNorm, "forward", _norm),
    ]
    if ours:
        replaced.append((dropout, "_is_fused", lambda *_: torch.compiler.is_compiling()))
    for holder, name, value in replaced:
        setattr(holder, name, value)
    driver.set_active(SimpleNamespace(get_current_target=lambda: GPUTarget("cuda", CAPABILITY, 32)))
    text = inspect.getsource(torch._refs.native_layer_norm)
    text = text[text.index("def native_layer_norm") :].replace('["cpu", "mtia"]', "[]")  # statistics stay float32
    assert '"cpu"' not in text
    exec(text.replace("def native_layer_norm", "def _layer_norm_of_cuda", 1), torch._refs.__dict__)
    wrapped = out_wrapper("out0", "out1", "out2")(torch._refs._layer_norm_of_cuda)  # type: ignore[attr-defined]
    decomposition.decompositions[torch.ops.aten.native_layer_norm.default] = wrapped


def _norm(norm: nn.LayerNorm, hidden_state: Tensor) -> Tensor:
    """As :class:`interbert.model.modeling.LayerNorm` does on CUDA."""
    weight, bias = norm.weight.bfloat16(), norm.bias.bfloat16()
    with torch.autocast("cpu", enabled=False):
        return nn.functional.layer_norm(hidden_state.bfloat16(), norm.normalized_shape, weight, bias, norm.eps)


def written(settings: InterBertConfig, batch: dict[str, Tensor]) -> dict[str, str]:
    """Code of the forward and the backward pass."""
    code: dict[str, str] = {}

    def read(graph: GraphLowering) -> None:
        found, _ = graph.codegen()
        code["backward" if graph.is_backward else "forward"] = str(getattr(found, "value", found))
        raise WrittenError

    def lower(graph: fx.GraphModule, inputs: list[Any], **options: Any) -> Any:
        there, moved = on_card(copy.deepcopy(graph), inputs)
        try:
            with V.set_fake_mode(detect_fake_mode(moved)):
                compile_fx.compile_fx_inner(there, moved, **options)
        except Exception as error:
            if WrittenError.__name__ not in repr(error):  # the compiler wraps what is raised in it
                raise

        def run(values: list[Any]) -> Any:
            given = list(values)
            values.clear()
            return graph(*given)

        run._boxed_call = True  # type: ignore[attr-defined]
        return run

    GraphLowering.compile_to_module = read  # type: ignore[method-assign,assignment]
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = TaskModule(InterBertForPreTraining(settings), pretraining_losses).train()
        inputs = {name: torch.empty(value.shape, dtype=value.dtype) for name, value in batch.items()}
        compiled = torch.compile(
            model,
            fullgraph=True,
            dynamic="real_tokens" in batch,  # as many tokens as there are, so other numbers in every batch
            backend=lambda graph, values: compile_fx.compile_fx(graph, values, lower),
        )
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = compiled(**inputs)["loss"]
        loss.backward()
    return code


def on_card(graph: fx.GraphModule, inputs: list[Any]) -> tuple[fx.GraphModule, list[Any]]:
    """The graph and its inputs, said to be on the card."""

    def moved(value: Any) -> Any:
        return CARD if isinstance(value, torch.device) else value

    for node in graph.graph.nodes:
        node.args = fx.node.map_aggregate(node.args, moved)
        node.kwargs = fx.node.map_aggregate(node.kwargs, moved)
    graph.recompile()
    mode = detect_fake_mode(inputs)
    assert mode is not None
    with mode:
        there = [_like(one) if isinstance(one, Tensor) else one for one in inputs]
        FakeTensorProp(graph, mode=mode).propagate_dont_convert_inputs(*there)
    return graph, there


def _like(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=CARD)


def kernels_of(code: str) -> list[Kernel]:
    """Kernels that the code launches, largest or not."""
    outside = _KERNEL.sub("", code)
    calls = collections.Counter(re.findall(r"(triton_\w+)\.run\(", outside))
    found = []
    for name, text in _KERNEL.findall(code):
        moved = re.search(r"'kernel_num_gb': ([\d.e-]+)", text)
        found.append(Kernel(name, text, calls[name], float(moved[1]) * 1e9 if moved else 0.0))
    return found


def built(kernel: Kernel) -> Build:
    """The kernel compiled, eight elements a thread."""
    body = kernel.text[kernel.text.index("@triton.jit") :].split("\ndef get_args")[0]
    head = (
        "import triton\nimport triton.language as tl\n"
        "from torch._inductor.runtime import triton_helpers\n"
        "from torch._inductor.runtime.triton_helpers import libdevice, math as tl_math\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        function = getattr(_loaded(Path(folder) / "kernel.py", head + body), kernel.name)
        described = re.search(r"triton_meta=(\{.*?\}),\n    inductor_meta", kernel.text, re.DOTALL)
        assert described is not None
        about = eval(described[1], {"DeviceProperties": dict})  # what the compiler has just written
        types, warps = about["signature"], 4
        block = 1 if kernel.in_rows else THREAD * 32 * warps
        constants = {name: block for name, kind in types.items() if kind == "constexpr"}
        aligned = [function.arg_names[place] for (place,) in about["configs"][0]]
        return build(function, types, constants, aligned, CAPABILITY, warps)


def _loaded(path: Path, text: str) -> ModuleType:
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
