"""Classifiers whose feature maps describe regions.

The default, EfficientNet-Lite0, carries its ImageNet weights inside a package; ``timm:NAME``, ``torchvision:NAME``
and ``transformers:NAME`` take any other backbone from a hub.

Shapes: B pictures, M pooled regions, C channels of a map, K classes.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from interbert.errors import ConfigError, MissingExtraError, first_line
from interbert.extraction.efficientnet import EFFICIENTNET_LITE0, EfficientNetLite0


class Backbone(Protocol):
    """A network that gives feature maps and classifies pooled head features."""

    name: str
    taps: dict[str, int]
    """Channels of each map; ``head`` is always there and is what :meth:`classify` reads."""
    num_classes: int | None

    def maps(self, pictures: Tensor) -> dict[str, Tensor]:
        """RGB pictures f32 [B,3,height,width] in 0..255 -> maps [B,C,h,w] by tap."""

    def classify(self, pooled: Tensor) -> Tensor | None:
        """Pooled head features [M,C] -> class logits [M,K]; None without a classifier."""

    def to(self, device: torch.device | str) -> Backbone:
        """Move it to where it is to compute."""


class HubBackbone:
    """A classifier of timm, torchvision or transformers: its last feature map and its own classifier."""

    def __init__(self, name: str, trunk: nn.Module, head: nn.Module | None, mean: Any, std: Any) -> None:
        self.name = name
        self._trunk = trunk.eval()
        self._head = head.eval() if head is not None else None
        self._mean = torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1) * 255.0
        self._std = torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1) * 255.0
        self._extra_tokens = 0
        with torch.inference_mode():
            probe: Any = self._trunk(torch.zeros(1, 3, 224, 224))
            tokens = getattr(probe, "last_hidden_state", probe)
            if tokens.ndim == 3:  # the patches of a square picture are a square number, what is left are class tokens
                self._extra_tokens = tokens.shape[1] - math.isqrt(tokens.shape[1]) ** 2
            channels = int(self.maps(torch.zeros(1, 3, 224, 224))["head"].shape[1])
            logits = self.classify(torch.zeros(1, channels))
        self.taps = {"head": channels}
        self.num_classes = None if logits is None else int(logits.shape[1])

    def to(self, device: torch.device | str) -> HubBackbone:
        """See :class:`Backbone`."""
        self._trunk.to(device)
        if self._head is not None:
            self._head.to(device)
        self._mean, self._std = self._mean.to(device), self._std.to(device)
        return self

    def maps(self, pictures: Tensor) -> dict[str, Tensor]:
        """See :class:`Backbone`."""
        output: Any = self._trunk((pictures - self._mean) / self._std)
        hidden: Tensor = getattr(output, "last_hidden_state", output)
        return {"head": _as_map(hidden, pictures.shape[-2] / pictures.shape[-1], self._extra_tokens)}

    def classify(self, pooled: Tensor) -> Tensor | None:
        """See :class:`Backbone`."""
        if self._head is None:
            return None
        logits: Tensor = self._head(pooled)
        return logits


def _as_map(hidden: Tensor, aspect: float, extra: int) -> Tensor:
    """[B,C,h,w] as it is; tokens [B,T,C] of a vision transformer as [B,C,h,w], the ``extra`` leading ones dropped."""
    if hidden.ndim == 4:
        return hidden
    patches = hidden[:, extra:]
    width = max(1, round((patches.shape[1] / aspect) ** 0.5))
    height = patches.shape[1] // width
    return patches.transpose(1, 2).reshape(len(hidden), hidden.shape[2], height, width)


_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _timm(name: str) -> HubBackbone:
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError.of("timm", "timm") from error
    model = timm.create_model(name, pretrained=True)
    data = timm.data.resolve_model_data_config(model)
    trunk = _Method(model, "forward_features")
    head = model.get_classifier()
    return HubBackbone(f"timm:{name}", trunk, head, data["mean"], data["std"])


def _torchvision(name: str) -> HubBackbone:
    import torchvision

    model = torchvision.models.get_model(name, weights="DEFAULT")
    if hasattr(model, "features"):
        trunk, head = model.features, getattr(model, "classifier", getattr(model, "head", None))
    else:
        children = dict(model.named_children())
        head = children.pop("fc", None)
        children.pop("avgpool", None)
        trunk = nn.Sequential(*children.values())
    return HubBackbone(f"torchvision:{name}", trunk, head, _IMAGENET_MEAN, _IMAGENET_STD)


def _transformers(name: str) -> HubBackbone:
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    model = AutoModelForImageClassification.from_pretrained(name)
    try:
        processor = AutoImageProcessor.from_pretrained(name)
        mean, std = processor.image_mean, processor.image_std
    except (OSError, ValueError, AttributeError):
        mean, std = _IMAGENET_MEAN, _IMAGENET_STD
    return HubBackbone(f"transformers:{name}", model.base_model, getattr(model, "classifier", None), mean, std)


class _Method(nn.Module):
    def __init__(self, model: nn.Module, method: str) -> None:
        super().__init__()
        self.model = model
        self.method = method

    def forward(self, pictures: Tensor) -> Tensor:
        hidden: Tensor = getattr(self.model, self.method)(pictures)
        return hidden


HUBS = {"timm": _timm, "torchvision": _torchvision, "transformers": _transformers}
"""What stands before the colon of a network's name -> who fetches it."""


def build_backbone(name: str, weights: Path | None = None) -> Backbone:
    """A backbone by name.

    Args:
        name: may end in ``@digest`` when its upper layers were trained here.
        weights: file of those layers.

    Raises:
        ConfigError: there is no such backbone, or its weights cannot be fetched.
        MissingExtraError: its library is not installed.
    """
    if name.partition("@")[0] == EFFICIENTNET_LITE0:
        return EfficientNetLite0(weights)
    hub, _, model = name.partition(":")
    if hub not in HUBS or not model:
        raise ConfigError(
            f"There is no backbone {name!r}. Known: {EFFICIENTNET_LITE0} (offline), "
            "timm:NAME, torchvision:NAME, transformers:NAME."
        )
    try:
        return HUBS[hub](model)
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        reason = first_line(error)
        raise ConfigError(f"The backbone {name!r} could not be loaded ({reason}).") from error
