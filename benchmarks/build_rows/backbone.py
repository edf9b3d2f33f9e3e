"""Processor seconds of one thread that `interbert finetune backbone` takes, and the warm start of pretraining after it.

The backbone learns from 1,000 images of 60 x 80 pixels in one pass after 30 passes of its heads, judged by 300 others;
the warm start makes 2 passes of the heads and one of the image side over 8,000 made rows (train_rss.py), MiniLM's size.
Images and titles are made: a coloured shape on a ground, named by shape, colour and ground; --data takes the real
catalogue's train.parquet and validation.parquet instead. With --full 10,000 images and 6 passes.
"""

from __future__ import annotations

import io
import json
import logging
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import row
import train_rss

TOLERANCES = {"r@1": 5.0}
"""One pass over a thousand images leaves a few of 300 texts to chance."""
_COLOURS = {
    "red": (200, 30, 30),
    "green": (30, 160, 50),
    "blue": (30, 60, 200),
    "yellow": (230, 210, 40),
    "black": (20, 20, 20),
    "purple": (140, 40, 160),
    "orange": (240, 130, 20),
    "pink": (240, 150, 190),
}
_SHAPES = ("disc", "square", "triangle", "ring", "cross", "bar")


def prepare(setting: row.Setting) -> None:
    """The images."""
    for name, count, seed in (("train", 10_000, 0), ("validation", 300, 1)):
        file = setting.common / f"{name}.parquet"
        if not file.is_file():
            _write(file, count, seed)


def measure(setting: row.Setting) -> dict[str, Any]:
    """Both, one after the other, in this process."""
    import torch

    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    train_rss.keep_freed_memory()
    started = time.process_time()
    recall = _backbone(setting)
    seconds = time.process_time() - started
    warm = _warm_start(setting)
    parts = {"backbone_s": seconds, "warm_start_s": warm}
    return {"value": seconds + warm, "unit": "s", **parts, "equal": {"r@1": recall}}


def _backbone(setting: row.Setting) -> float:
    from interbert.adaptation.backbone import finetune_backbone
    from interbert.adaptation.options import BackboneOptions

    out = setting.own / "backbone"
    shutil.rmtree(out, ignore_errors=True)
    data = setting.data or setting.common
    names = set(BackboneOptions.__dataclass_fields__)
    said: dict[str, Any] = {"text_columns" if "text_columns" in names else "texts": ["productDisplayName"]}
    said |= {"limit": 10_000 if setting.full else 1000, "epochs": 6 if setting.full else 1}
    said |= {"validation": str(data / "validation.parquet"), "input_size": 192}
    finetune_backbone(BackboneOptions(source=str(data / "train.parquet"), out=str(out), **said))
    lines = [json.loads(line) for line in (out / "log_history.jsonl").read_text().splitlines()]
    return float(max(line["r@1"] for line in lines[1:]))


class _DoneError(Exception):
    """What comes after the warm start is not asked for."""


def _warm_start(setting: row.Setting) -> float:
    """Seconds."""
    from interbert.training.options import PretrainOptions, TrainingOptions, WarmStartOptions

    pretrain = train_rss.either("interbert.training.pretrain")
    train_rss.read_made_regions(8400)  # of which a twentieth is held out
    out = setting.own / "pretrain"
    shutil.rmtree(out, ignore_errors=True)
    usual, found = pretrain.warm_start, [0.0]

    def timed(*given: Any) -> None:
        started = time.process_time()
        usual(*given)
        found[0] = time.process_time() - started
        raise _DoneError

    pretrain.warm_start = timed
    warm = WarmStartOptions(head_epochs=2, epochs=1)
    try:
        pretrain.pretrain(
            PretrainOptions("made", str(out), warm_start=warm, training=TrainingOptions(precision="bf16"))
        )
    except _DoneError:
        pass
    finally:
        pretrain.warm_start = usual
    return found[0]


def _write(file: Path, count: int, seed: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    generator = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {name: [] for name in ("id", "image", "productDisplayName", "shape", "baseColour")}
    for number in range(count):
        shape = _SHAPES[generator.integers(len(_SHAPES))]
        colour, ground = generator.choice(list(_COLOURS), 2, replace=False)
        size = ("small", "large")[generator.integers(2)]
        columns["id"].append(f"{seed}-{number}")
        columns["image"].append({"bytes": _image(shape, colour, ground, size, generator), "path": f"{number}.jpg"})
        columns["productDisplayName"].append(f"{size} {colour} {shape} on {ground}")
        columns["shape"].append(shape)
        columns["baseColour"].append(str(colour))
    pq.write_table(pa.table(columns), file)


def _image(shape: str, colour: str, ground: str, size: str, generator: np.random.Generator) -> bytes:
    from PIL import Image

    y, x = np.mgrid[0:80, 0:60].astype(np.float32)
    half = 22 if size == "large" else 11
    x, y = x - 30 - generator.integers(-6, 7), y - 40 - generator.integers(-14, 15)
    inside = {
        "disc": np.hypot(x, y) < half,
        "square": np.maximum(abs(x), abs(y)) < half,
        "triangle": (y < half) & (2 * abs(x) < y + half),
        "ring": (np.hypot(x, y) < half) & (np.hypot(x, y) > half * 0.6),
        "cross": (np.minimum(abs(x), abs(y)) < half * 0.3) & (np.maximum(abs(x), abs(y)) < half),
        "bar": (abs(y) < half * 0.3) & (abs(x) < half),
    }[shape]
    pixels = np.where(inside[..., None], _COLOURS[colour], _COLOURS[ground]) + generator.normal(0, 12, (80, 60, 3))
    written = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(written, "JPEG", quality=90)
    return written.getvalue()


if __name__ == "__main__":
    row.main(__doc__, prepare, measure)
