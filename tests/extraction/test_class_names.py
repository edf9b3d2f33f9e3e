from __future__ import annotations

import pytest

from interbert.extraction.class_names import class_names
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
