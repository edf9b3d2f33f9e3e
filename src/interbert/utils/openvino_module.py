"""A torch module as OpenVINO computes it, converted in memory."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from interbert.utils.runtimes import import_unreported
from interbert.utils.transformers_logging import quiet_transformers


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def converted(module: nn.Module, example: tuple[Tensor, ...], inputs: Sequence[tuple[list[int], str]]) -> Any:
    """A module as OpenVINO's model.

    Args:
        module: whose weights do not change any more.
        example: inputs to trace it with.
        inputs: shape, -1 for any, and OpenVINO's type of each input.
    """
    openvino = import_unreported("openvino")
    with torch.no_grad(), warnings.catch_warnings(), quiet_transformers():
        # tracing tells of shapes that it takes for constants; results of other shapes are compared
        warnings.simplefilter("ignore")
        kinds = [(shape, getattr(openvino.Type, kind)) for shape, kind in inputs]
        return openvino.convert_model(module.eval(), example_input=example, input=kinds)


class CompiledModule:
    """A module for the CPU; threads may share it.

    Args:
        module, example, inputs: as of :func:`converted`.
        bf16: compute in bfloat16.
        streams: of the cores, how many batches are computed at once; as many as there are when not given.
        cores: to use; all that this process may use when not given.
    """

    def __init__(
        self,
        module: nn.Module,
        example: tuple[Tensor, ...],
        inputs: Sequence[tuple[list[int], str]],
        bf16: bool,
        streams: int | None = None,
        cores: int | None = None,
    ) -> None:
        openvino, cores = import_unreported("openvino"), cores or usable_cores()
        model = converted(module, example, inputs)
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            # a stream for each core, which computes batches of one thread or of several: none waits for another's part
            "NUM_STREAMS": str(streams or cores),
            "INFERENCE_NUM_THREADS": str(cores),
        }
        self._compiled = openvino.compile_model(model, "CPU", settings)
        self._thread = threading.local()

    def requests(self, count: int) -> list[Any]:
        """This thread's requests, as many as its first call asks for: one must not be used by two threads."""
        found: list[Any] | None = getattr(self._thread, "requests", None)
        if found is None:
            found = self._thread.requests = [self._compiled.create_infer_request() for _ in range(count)]
        return found
