"""A tiny detector's weights as the public ports store them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from tests.extraction.frcnn.checks import TINY, TINY_CAFFE, random_frcnn

from interbert.extraction.frcnn import loading
from interbert.extraction.frcnn.config import FrcnnConfig
from interbert.extraction.frcnn.loading import to_port


def port_config(config: FrcnnConfig) -> dict:
    """The port's config.yaml, as its code reads it."""
    return {
        "MODEL": {"PIXEL_MEAN": list(config.pixel_mean), "PIXEL_STD": [1.0, 1.0, 1.0], "MAX_POOL": True},
        "RESNETS": {
            "DEPTH": 101,
            "STEM_OUT_CHANNELS": config.stem_channels,
            "RES2_OUT_CHANNELS": config.res2_channels,
            "NUM_GROUPS": 1,
            "STRIDE_IN_1X1": True,
        },
        "PROPOSAL_GENERATOR": {"HIDDEN_CHANNELS": config.proposal_channels, "MIN_SIZE": 0},
        "ANCHOR_GENERATOR": {"SIZES": [list(config.anchor_sizes)], "ASPECT_RATIOS": [[0.5, 1.0, 2.0]], "OFFSET": 0.0},
        "RPN": {"PRE_NMS_TOPK_TEST": 6000, "POST_NMS_TOPK_TEST": config.proposals, "NMS_THRESH": 0.7},
        "ROI_HEADS": {"NUM_CLASSES": config.num_objects},
        "ROI_BOX_HEAD": {
            "ATTR": True,
            "NUM_ATTRS": config.num_attributes,
            "RES5HALVE": False,
            "POOLER_RESOLUTION": config.pooled_side,
            "BBOX_REG_WEIGHTS": [10.0, 10.0, 5.0, 5.0],
        },
        "INPUT": {"MIN_SIZE_TEST": config.short_side, "MAX_SIZE_TEST": config.long_side, "FORMAT": "BGR"},
    }


@pytest.fixture(autouse=True)
def small_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny networks have one block in each stage; their config.yaml says 101 as the real one does."""
    from interbert.extraction.frcnn import config

    monkeypatch.setitem(config._STAGES, 101, (1, 1, 1))
    monkeypatch.setattr(loading, "CAFFE", TINY_CAFFE)


@pytest.fixture
def hub_folder(tmp_path: Path) -> Path:
    """A folder as ``unc-nlp/frcnn-vg-finetuned`` has it: pytorch_model.bin and config.yaml."""
    return write_port(tmp_path / "frcnn", TINY)


@pytest.fixture
def caffe_file(tmp_path: Path) -> Path:
    """A file as MILVLG's port stores it: everything under ``model``."""
    made = random_frcnn(TINY_CAFFE)
    state = {to_port(name, "caffe"): value for name, value in made.state_dict().items()}
    torch.save({"model": state}, tmp_path / "bua-caffe.pth")
    return tmp_path / "bua-caffe.pth"


def write_port(folder: Path, config: FrcnnConfig, seed: int = 0) -> Path:
    folder.mkdir()
    made = random_frcnn(config, seed)
    state = {to_port(name, "detectron2"): value for name, value in made.state_dict().items()}
    state["proposal_generator.anchor_generator.cell_anchors.0"] = torch.zeros(6, 4)
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "config.yaml").write_text(yaml.safe_dump(port_config(config)), encoding="utf-8")
    return folder
