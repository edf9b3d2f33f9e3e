"""Classifiers whose feature maps describe regions.

The default, EfficientNet-Lite0, carries its ImageNet weights inside a package; ``timm:NAME``, ``torchvision:NAME``
and ``transformers:NAME`` take any other backbone from a hub.

Shapes: B images, M pooled regions, C channels of a map, K classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from interbert.errors import ConfigError, InterBertError, MissingExtraError, first_line
from interbert.extraction.efficientnet import EFFICIENTNET_LITE0, EfficientNetLite0


class Backbone(Protocol):
    """A network that gives feature maps and classifies pooled head features."""

    name: str
    taps: dict[str, int]
    """Channels of each map; ``head`` is always there and is what :meth:`classify` reads."""
    num_classes: int | None
    input_size: tuple[int, int] | None
    """Height and width in pixels that it is bound to, to which :meth:`maps` scales; None takes any size."""

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """RGB images f32 [B,3,height,width] in 0..255 -> maps [B,C,h,w] by tap."""

    def classify(self, pooled: Tensor) -> Tensor | None:
        """Pooled head features [M,C] -> class logits [M,K]; None without a classifier."""

    def to(self, device: torch.device | str) -> Backbone:
        """Move it to where it is to compute."""


class HubBackbone:
    """A classifier of timm, torchvision or transformers: its last feature map and its own classifier.

    Args:
        name: as settings have it.
        trunk: normalised images -> a map or tokens.
        head: pooled features -> logits; None where there is no classifier.
        mean, std: of each colour, in 0..1.
        own_size: height and width that it was trained with. A trunk that takes no other (a vision transformer whose
            positions are learnt) gets every image in this size.
    """

    def __init__(
        self,
        name: str,
        trunk: nn.Module,
        head: nn.Module | None,
        mean: Any,
        std: Any,
        own_size: tuple[int, int] | None = None,
    ) -> None:
        self.name = name
        self._trunk = trunk.eval()
        self._head = head.eval() if head is not None else None
        self._mean = torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1) * 255.0
        self._std = torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1) * 255.0
        self._extra_tokens = 0
        self.input_size: tuple[int, int] | None = None
        with torch.inference_mode():
            if own_size is not None and not self._takes(_OTHER_SIZE):
                self.input_size = own_size
            blank = torch.zeros(1, 3, *(self.input_size or (224, 224)))
            probe: Any = self._trunk(blank)
            tokens = getattr(probe, "last_hidden_state", probe)
            if tokens.ndim == 3:
                self._extra_tokens = _tokens_beside_patches(tokens.shape[1], blank.shape[-2] / blank.shape[-1])
            channels = int(self.maps(blank)["head"].shape[1])
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

    def _takes(self, size: tuple[int, int]) -> bool:
        try:
            self._trunk(torch.zeros(1, 3, *size))
        except (RuntimeError, ValueError, AssertionError):  # as transformers, timm and torch say it
            return False
        return True

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """See :class:`Backbone`."""
        if self.input_size is not None and images.shape[-2:] != self.input_size:
            scaled = nn.functional.interpolate(images, self.input_size, mode="bicubic", antialias=True)
            images = scaled.clamp(0.0, 255.0)
        output: Any = self._trunk((images - self._mean) / self._std)
        hidden: Tensor = getattr(output, "last_hidden_state", output)
        return {"head": _as_map(hidden, images.shape[-2] / images.shape[-1], self._extra_tokens)}

    def classify(self, pooled: Tensor) -> Tensor | None:
        """See :class:`Backbone`."""
        if self._head is None:
            return None
        logits: Tensor = self._head(pooled)
        return logits


def _tokens_beside_patches(tokens: int, aspect: float) -> int:
    """How many class tokens there are: what is left of the largest grid that has the image's shape."""
    for extra in range(tokens):
        width = round(((tokens - extra) / aspect) ** 0.5)
        if width and width * round(width * aspect) == tokens - extra and abs(width * aspect % 1 - 0.5) > 0.499:
            return extra
    return 0


def _as_map(hidden: Tensor, aspect: float, extra: int) -> Tensor:
    """[B,C,h,w] as it is; tokens [B,T,C] of a vision transformer as [B,C,h,w], the ``extra`` leading ones dropped."""
    if hidden.ndim == 4:
        return hidden
    patches = hidden[:, extra:]
    width = max(1, round((patches.shape[1] / aspect) ** 0.5))
    height = patches.shape[1] // width
    return patches.transpose(1, 2).reshape(len(hidden), hidden.shape[2], height, width)


_OTHER_SIZE = (192, 256)
"""Size of an image that a network is asked for, to see whether it takes any; no network's own."""
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _timm(name: str) -> HubBackbone:
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError.of("timm", "timm") from error
    model = timm.create_model(name, pretrained=True)
    data = timm.data.resolve_model_data_config(model)
    trunk = _TimmFeatures(model)
    head = model.get_classifier()
    return HubBackbone(f"timm:{name}", trunk, head, data["mean"], data["std"], tuple(data["input_size"][-2:]))


def _torchvision(name: str) -> HubBackbone:
    try:
        import torchvision
    except ImportError as error:
        raise MissingExtraError.of("torchvision", "extraction") from error
    model = torchvision.models.get_model(name, weights="DEFAULT")
    size = getattr(model, "image_size", None)
    trunk: nn.Module
    if isinstance(model, torchvision.models.VisionTransformer):
        trunk, head = _TorchvisionTokens(model), model.heads
    elif hasattr(model, "features"):
        trunk, head = model.features, getattr(model, "classifier", getattr(model, "head", None))
    else:
        children = dict(model.named_children())
        head = children.pop("fc", None)
        children.pop("avgpool", None)
        trunk = nn.Sequential(*children.values())
    own_size = (size, size) if isinstance(size, int) else None
    return HubBackbone(f"torchvision:{name}", trunk, head, _IMAGENET_MEAN, _IMAGENET_STD, own_size)


def _transformers(name: str) -> HubBackbone:
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    from interbert.checkpoints.foreign_files import require_own_files

    require_own_files(name)
    model = AutoModelForImageClassification.from_pretrained(name, trust_remote_code=False)
    try:
        processor = AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
        mean, std = processor.image_mean, processor.image_std
    except (OSError, ValueError, AttributeError):
        mean, std = _IMAGENET_MEAN, _IMAGENET_STD
    size = getattr(getattr(model.config, "vision_config", model.config), "image_size", None)
    own_size = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1])) if size else None
    head = getattr(model, "classifier", None)
    return HubBackbone(f"transformers:{name}", model.base_model, head, mean, std, own_size)


class _TimmFeatures(nn.Module):
    """A timm model's last features, with channels before places."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.last = getattr(model, "output_fmt", "NCHW") == "NHWC"

    def forward(self, images: Tensor) -> Tensor:
        hidden: Tensor = self.model.forward_features(images)  # type: ignore[operator]
        return hidden.permute(0, 3, 1, 2) if self.last and hidden.ndim == 4 else hidden


class _TorchvisionTokens(nn.Module):
    """Tokens of torchvision's vision transformer, the class token first."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        patches = self.model._process_input(images)
        tokens: Tensor = self.model.encoder(
            torch.cat([self.model.class_token.expand(len(patches), -1, -1), patches], 1)
        )
        return tokens


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
    except InterBertError:
        raise
    except (OSError, RuntimeError, ValueError, TypeError, AssertionError, ImportError, AttributeError) as error:
        reason = first_line(error)
        raise ConfigError(f"The backbone {name!r} could not be loaded ({reason}).") from error
