"""Detectors of transformers with random weights, small enough to be made in a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    DetrConfig,
    DetrForObjectDetection,
    DetrImageProcessor,
    DFineConfig,
    DFineForObjectDetection,
    HGNetV2Config,
    ResNetConfig,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrImageProcessor,
    RTDetrResNetConfig,
    YolosConfig,
    YolosForObjectDetection,
    YolosImageProcessor,
)

STAGES: dict[str, Any] = {"hidden_sizes": [8, 8, 12, 16], "depths": [1, 1, 1, 1], "embedding_size": 8}
THREE = ["stage2", "stage3", "stage4"]
QUERIES = 20
DECODER: dict[str, Any] = {
    "encoder_hidden_dim": 16,
    "encoder_in_channels": [8, 12, 16],
    "encoder_ffn_dim": 16,
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "d_model": 16,
    "decoder_in_channels": [16, 16, 16],
    "decoder_ffn_dim": 16,
    "num_queries": QUERIES,
    "decoder_attention_heads": 2,
    "num_denoising": 0,
    "num_labels": 6,
    "anchor_image_size": None,
}
SQUARE = {"height": 64, "width": 64}
SHORTEST = {"shortest_edge": 64, "longest_edge": 96}


def detr() -> tuple[Any, Any]:
    backbone = ResNetConfig(**STAGES, layer_type="basic", out_features=["stage4"])
    sizes = {f"{side}_{what}": 16 for side in ("encoder", "decoder") for what in ("ffn_dim",)}
    sizes |= {
        f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("layers", 1), ("attention_heads", 2))
    }
    config = DetrConfig(
        use_timm_backbone=False, backbone_config=backbone, d_model=16, num_queries=QUERIES, num_labels=5, **sizes
    )
    return DetrForObjectDetection(config), DetrImageProcessor(size=SHORTEST)


def yolos() -> tuple[Any, Any]:
    config = YolosConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=[64, 64],
        num_detection_tokens=QUERIES,
        num_labels=4,
    )
    return YolosForObjectDetection(config), YolosImageProcessor(size=SHORTEST)


def rt_detr() -> tuple[Any, Any]:
    backbone = RTDetrResNetConfig(**STAGES, layer_type="basic", out_features=THREE)
    config = RTDetrConfig(backbone_config=backbone, decoder_layers=1, decoder_n_points=2, **DECODER)
    return RTDetrForObjectDetection(config), RTDetrImageProcessor(size=SQUARE)


def d_fine() -> tuple[Any, Any]:
    backbone = HGNetV2Config(
        **STAGES,
        stem_channels=[3, 8, 8],
        stage_in_channels=[8, 8, 8, 12],
        stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[8, 8, 12, 16],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[1, 1, 1, 1],
        out_features=THREE,
    )
    config = DFineConfig(backbone_config=backbone, decoder_layers=2, decoder_n_points=[2, 2, 2], **DECODER)
    return DFineForObjectDetection(config), RTDetrImageProcessor(size=SQUARE)


MAKERS = {"detr": detr, "yolos": yolos, "rt_detr": rt_detr, "d_fine": d_fine}


def save_detector(name: str, folder: Path, seed: int = 0) -> Path:
    """A detector's folder, as ``save_pretrained`` leaves it."""
    torch.manual_seed(seed)
    model, processor = MAKERS[name]()
    with torch.no_grad():
        for weight in model.parameters():  # what starts at zero would answer the same to every image
            weight.add_(torch.randn_like(weight) * 0.1)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
