"""Runtimes of exported models, which report nothing to their vendors."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any, Literal

Backend = Literal["onnxruntime", "openvino"]


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
