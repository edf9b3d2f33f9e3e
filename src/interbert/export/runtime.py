"""Run exported files under onnxruntime or OpenVINO: arrays in, one array out; nothing is reported to their vendors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import CheckpointError, MissingExtraError, first_line
from interbert.utils.runtimes import Backend, import_unreported

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


BATCH_TOLERANCE = 1e-4
"""Largest difference that the company of a row may make."""

_MORE_PADDING = 3

Inputs = Mapping[str, NDArray[Any]]


def batch_dependence(run: Runner, inputs: Sequence[str], batch: Inputs, most_text: int) -> float:
    """The largest difference between a row's output in a batch and elsewhere.

    Elsewhere is: alone and without padding, twice in a batch of its own, and in the same batch with more padding.

    Args:
        run: an opened file.
        inputs: names of what it reads.
        batch: inputs of at least two rows, padded; [B,L,...] each.
        most_text: text tokens that the file takes.
    """
    together = run({name: batch[name] for name in inputs})
    wider = {name: _padded(batch[name], name, most_text) for name in inputs}
    largest = float(np.abs(run(wider) - together).max())
    for row, alone in enumerate(_rows(inputs, batch)):
        twice = {name: np.concatenate([one, one]) for name, one in alone.items()}
        for found in (run(alone), run(twice)):
            largest = max(largest, float(np.abs(found - together[row]).max()))
    return largest


def _rows(inputs: Sequence[str], batch: Inputs) -> Iterator[dict[str, NDArray[Any]]]:
    """Each row as a batch of one, without padding."""
    for row in range(len(batch[inputs[0]])):
        real = {mask: int(batch[mask][row].sum()) for mask in {_mask(name) for name in inputs}}
        yield {name: batch[name][row : row + 1, : real[_mask(name)]] for name in inputs}


def _mask(name: str) -> str:
    return "region_mask" if name.startswith("region") else "attention_mask"


def _padded(values: NDArray[Any], name: str, most_text: int) -> NDArray[Any]:
    """More padding; zeros, as padding is everywhere but in ``input_ids``, where any token will do."""
    more = min(_MORE_PADDING, most_text - values.shape[1]) if _mask(name) == "attention_mask" else _MORE_PADDING
    return np.pad(values, [(0, 0), (0, max(more, 0)), *[(0, 0)] * (values.ndim - 2)])
