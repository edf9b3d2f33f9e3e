"""What every row's script has: its arguments, and the line of JSON at the end (benchmarks/against_build.py)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MINI: dict[str, Any] = {
    "hidden_size": 384,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "num_interaction_layers": 3,
    "num_text_layers": 3,
    "num_image_layers": 3,
    "image_num_attention_heads": 12,
    "image_intermediate_size": 1536,
    "pooler_size": 384,
}
"""Sizes of a model that starts from MiniLM."""


@dataclass(frozen=True)
class Setting:
    """What a row is to do."""

    common: Path
    """Folder that both builds share."""
    own: Path
    """Folder of this build."""
    build: str
    """base or ours."""
    full: bool
    """Full size."""
    data: Path | None
    """Folder of real data."""


def main(doc: str | None, prepare: Callable[[Setting], None], measure: Callable[[Setting], dict[str, Any]]) -> None:
    """Prepare or measure, as the command line says."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--build", choices=("base", "ours"), required=True)
    parser.add_argument("--prepare", action="store_true", help="make data, index and model, unless they are there")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--data", type=Path)
    said = parser.parse_args()
    setting = Setting(said.work / "common", said.work / said.build, said.build, said.full, said.data)
    setting.common.mkdir(parents=True, exist_ok=True)
    setting.own.mkdir(parents=True, exist_ok=True)
    if said.prepare:
        prepare(setting)
    else:
        print(json.dumps(measure(setting)))
