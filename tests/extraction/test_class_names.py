from __future__ import annotations

import json
from pathlib import Path

import pytest

from interbert.extraction.weights import class_names
from interbert.regions.schema import ExtractorInfo


def info(backbone: str, classes: int | None) -> ExtractorInfo:
    return ExtractorInfo("grid", {"backbone": backbone}, 10, classes)


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "torchvision:resnet18", "timm:resnet18"])
def test_imagenet_classes_have_their_names(backbone: str) -> None:
    names = class_names(info(backbone, 1000))
    assert names is not None
    assert (names[0], names[608], len(names)) == ("tench", "jean", 1000)


@pytest.mark.parametrize(
    ("backbone", "classes"),
    [
        ("efficientnet_lite0", 7),  # a head of another size has other classes
        ("timm:resnet18", 21841),
        ("torchvision:gone", 1000),
        ("transformers:nobody/nothing", 1000),
        ("", 1601),
        ("efficientnet_lite0", None),
    ],
)
def test_what_nothing_here_knows_has_numbers(backbone: str, classes: int | None) -> None:
    assert class_names(info(backbone, classes)) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"model_type": "vit", "id2label": {"a": [1]}},
        {"model_type": "vit", "id2label": {"0": "x"}, "auto_map": {"AutoConfig": "own.Own"}},
        {"model_type": 3},
        [],
    ],
)
def test_settings_that_a_store_points_to_do_not_keep_it_from_being_shown(tmp_path: Path, settings: object) -> None:
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass Own: pass\n")
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert class_names(info(f"transformers:{tmp_path}", 1)) is None
    assert class_names(ExtractorInfo("detector", {"weights_from": str(tmp_path)}, 10, 1)) is None
    assert not (tmp_path / "ran").exists()
