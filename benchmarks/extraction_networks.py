"""The networks inside the extractors, bare: what `benchmarks/extraction.py` compares whole commands with.

Detectors have random weights of the real sizes: the time does not depend on what they have learned, but for the last
choice of boxes, so the paper's detector gets a last layer that is as sure of its classes as a trained one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from PIL import Image

Bare = Callable[[], None]
"""One pass over the images in memory."""

_SURENESS = 4.0
"""Standard deviation of a trained detector's class logits, about."""


def bare_grid(images: Sequence[Image.Image], device: str) -> list[Bare]:
    """EfficientNet-Lite0 on scaled images, and its classifier on every window, in small and in large batches."""
    from interbert.extraction.grid import GridExtractor, canvas_pixels

    extractor = GridExtractor(device=device)
    windows = sum(scale**2 for scale in extractor.settings.scales)
    canvases = [canvas_pixels([one], extractor.canvas(*one.size))[0].to(device) for one in images]
    by_shape = [[one for one in canvases if one.shape == shape] for shape in {one.shape for one in canvases}]

    def run(batch: int) -> None:
        for same in by_shape:
            for start in range(0, len(same), batch):
                maps = extractor.backbone.maps(torch.stack(same[start : start + batch]))
                pooled = maps["head"].mean(dim=(2, 3))
                extractor.backbone.classify(pooled.repeat_interleave(windows, dim=0))

    return [lambda: run(16), lambda: run(64)] if device == "cpu" else [lambda: run(64), lambda: run(256)]


def bare_frcnn(images: Sequence[Image.Image], folder: Path, device: str) -> list[Bare]:
    """Trunk, proposal network, res5 on 300 pooled regions and the last layers, one scaled image at a time."""
    from interbert.extraction.frcnn.extractor import detector_pixels
    from interbert.extraction.frcnn.loading import load_frcnn

    model = load_frcnn(str(folder)).model.to(device).fuse()
    pixels = [detector_pixels(one, model.config, device)[None] for one in images]
    regions = torch.rand(300, model.trunk.out_channels, 14, 14, device=device).contiguous(
        memory_format=torch.channels_last
    )

    def run() -> None:
        for one in pixels:
            model.proposals.scored_boxes(model.feature_map(one))
            for start in range(0, 300, 100):
                model.head.predictor(model.head.res5(regions[start : start + 100]).mean(dim=(2, 3)))

    return [run]


def bare_detector(images: Sequence[Image.Image], folder: Path, device: str) -> list[Bare]:
    """The detector on processed images, in small and in large batches."""
    from interbert.extraction.detectors import load_detector

    loaded = load_detector(str(folder))
    model = loaded.model.to(device).eval()
    pixels = [loaded.processor(images=[one], return_tensors="pt")["pixel_values"][0].to(device) for one in images]

    def run(batch: int) -> None:
        for start in range(0, len(pixels), batch):
            model(pixel_values=torch.stack(pixels[start : start + batch]))

    return [lambda: run(1), lambda: run(4)] if device == "cpu" else [lambda: run(8), lambda: run(32)]


def make_frcnn(folder: Path, image: Image.Image) -> None:
    """Random weights of the paper's detector, as the public ports store them."""
    from interbert.extraction.frcnn.config import DETECTRON2
    from interbert.extraction.frcnn.extractor import detector_pixels
    from interbert.extraction.frcnn.loading import to_port
    from interbert.extraction.frcnn.model import Frcnn

    torch.manual_seed(0)
    model = Frcnn(DETECTRON2)
    predictor = model.head.predictor
    with torch.inference_mode():
        feature_map = model.feature_map(detector_pixels(image, DETECTRON2)[None])
        whole = torch.tensor([[0.0, 0.0, 16.0 * feature_map.shape[3], 16.0 * feature_map.shape[2]]])
        logits = predictor.classes(model.head.describe(feature_map, [whole]))
    predictor.classes.weight.data *= _SURENESS / float(logits.std())
    folder.mkdir(parents=True, exist_ok=True)
    state = {to_port(name, "detectron2"): value for name, value in model.state_dict().items()}
    torch.save(state, folder / "pytorch_model.bin")


def make_rt_detr(folder: Path) -> None:
    """A random RT-DETR as transformers configures it: ResNet-50, 640 x 640, 300 queries."""
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrImageProcessor

    torch.manual_seed(0)
    config: Any = RTDetrConfig(num_labels=80)
    RTDetrForObjectDetection(config).save_pretrained(folder)
    RTDetrImageProcessor().save_pretrained(folder)
