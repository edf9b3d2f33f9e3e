"""Run exported files under onnxruntime or OpenVINO: arrays in, one array out; nothing is reported to their vendors."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from interbert.errors import CheckpointError, MissingExtraError, first_line

Backend = Literal["onnxruntime", "openvino"]
Runner = Callable[[Mapping[str, NDArray[Any]]], NDArray[np.float32]]


def open_exported(file: str | Path, backend: Backend = "onnxruntime", bf16: bool = False) -> Runner:
    """An exported file, ready to run on the CPU.

    Args:
        file: ``joint.onnx``, ``text_encoder.onnx`` or ``image_encoder.onnx``.
        backend: who runs it.
        bf16: let OpenVINO compute in bfloat16; onnxruntime always computes as the file says.

    Raises:
        CheckpointError: the file is missing or damaged.
        MissingExtraError: the backend is not installed.
    """
    path = Path(file)
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file. Make one with: interbert export onnx")
    try:
        return _onnxruntime(path) if backend == "onnxruntime" else _openvino(path, bf16)
    except ImportError as error:
        raise MissingExtraError.of(backend, "export") from error
    except Exception as error:  # each runtime has its own tree of errors
        reason = first_line(error)
        raise CheckpointError(f"{path}: {backend} cannot read it ({reason}).") from error


def import_unreported(name: Backend) -> Any:
    """A runtime, with its reports of use to its vendor off; a program that turned them on itself keeps them.

    onnxruntime 1.32 reads the variable once, when it is imported. OpenVINO 2025 sends an event when it is imported, and
    does without the package that sends when that is missing.

    Raises:
        ImportError: it is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    sends = "openvino_telemetry"
    if name != "openvino" or "openvino" in sys.modules or sends in sys.modules:
        return import_module(name)
    sys.modules[sends] = None  # type: ignore[assignment]  # import then raises ImportError, which OpenVINO expects
    try:
        return import_module(name)
    finally:
        del sys.modules[sends]


def _onnxruntime(path: Path) -> Runner:
    onnxruntime = import_unreported("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = session.run(None, dict(inputs))[0]
        return found

    return run


def _openvino(path: Path, bf16: bool) -> Runner:
    openvino = import_unreported("openvino")
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
        # beside weights in 8 bits it would round activations too, and scores would depend on their batch
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
    }
    compiled = openvino.compile_model(str(path), "CPU", settings)

    def run(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        return np.array(compiled(dict(inputs))[0], dtype=np.float32)

    return run


@contextmanager
def level_of(logger: logging.Logger, level: int) -> Iterator[None]:
    """A library's notes from this level on alone; the logger's own level comes back."""
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
