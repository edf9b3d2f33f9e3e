"""Triton kernels compiled for a GPU that need not be here: what they take of it.

Triton brings NVIDIA's assembler along, so registers, memory and instructions of a kernel are known without a card. What
is not known is time.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

_TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


@dataclass(frozen=True)
class Build:
    """A kernel as one card runs it."""

    instructions: int
    registers: int
    """Of a thread."""
    spilled: int
    """Bytes of a thread that found no register: they go to the card's memory and back."""
    shared: int
    """Bytes of shared memory of a block."""


def build(
    kernel: Any,
    types: Mapping[str, str],
    constants: Mapping[str, int | bool],
    aligned: Collection[str],
    capability: int,
    warps: int,
) -> Build:
    """Compile for one kind of card.

    Args:
        kernel: made by ``triton.jit``.
        types: argument -> Triton's name of its type, "*bf16" or "i32"; "constexpr" for a constant.
        constants: argument -> value.
        aligned: arguments that are multiples of 16, addresses in bytes.
        capability: of the card: 90 is an H100 or H200.
        warps: of a block.
    """
    place = {name: (number,) for number, name in enumerate(kernel.arg_names)}
    source = ASTSource(
        kernel,
        {name: types[name] for name in kernel.arg_names},
        {place[name]: value for name, value in constants.items()},
        {place[name]: [["tt.divisibility", 16]] for name in aligned},
    )
    options = {"num_warps": warps, "num_stages": 1}
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        usage = _told_by("cuobjdump", "-res-usage", file.name)
        code = _told_by("nvdisasm", "-c", file.name)
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    assert found is not None, usage
    instructions = len(re.findall(r"^\s+/\*[0-9a-f]{4,}\*/", code, re.MULTILINE))
    return Build(instructions, int(found[1]), int(found[2]), compiled.metadata.shared)


def _told_by(tool: str, *words: str) -> str:
    return subprocess.run([str(_TOOLS / tool), *words], capture_output=True, text=True, check=True).stdout
