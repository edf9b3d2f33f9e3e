"""ResNet up to its fourth stage, in the form that Caffe's weights have: a block strides in its first convolution.

Shapes: B images, C channels, h, w cells of 16 pixels of the scaled image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from interbert.extraction.frcnn.config import FrcnnConfig

STRIDE = 16
"""Pixels of the scaled image per cell of the trunk's map."""

_EPSILON = 1e-5


class FrozenNorm(nn.Module):
    """A batch norm whose statistics stay as they are: this detector is run, not trained."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(channels), requires_grad=False)
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normed map, of the same shape."""
        mean, variance = self.get_buffer("running_mean"), self.get_buffer("running_var")
        return functional.batch_norm(x, mean, variance, self.weight, self.bias, eps=_EPSILON)


class ConvNorm(nn.Module):
    """A convolution without bias, and the batch norm after it."""

    def __init__(self, channels: int, out: int, side: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        padding = dilation * (side // 2)
        self.conv = nn.Conv2d(channels, out, side, stride, padding, dilation, bias=False)
        self.norm: nn.Module = FrozenNorm(out)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B,C,h,w] -> [B,out,h/stride,w/stride]."""
        normed: Tensor = self.norm(self.conv(x))
        return normed

    def fuse(self) -> None:
        """Fold the norm into the convolution: the same numbers, less memory traffic. For inference only."""
        norm = self.norm
        if not isinstance(norm, FrozenNorm):
            return
        mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        weight, bias = fuse_conv_bn_weights(self.conv.weight, None, mean, variance, _EPSILON, norm.weight, norm.bias)
        self.conv.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.conv.bias = nn.Parameter(bias.detach(), requires_grad=False)
        self.norm = nn.Identity()


class Bottleneck(nn.Module):
    """1x1 (which strides), 3x3, 1x1, added to the input."""

    def __init__(self, channels: int, out: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        inner = out // 4
        self.first = ConvNorm(channels, inner, 1, stride)
        self.second = ConvNorm(inner, inner, 3, 1, dilation)
        self.third = ConvNorm(inner, out, 1)
        self.shortcut = ConvNorm(channels, out, 1, stride) if channels != out else None

    def forward(self, x: Tensor) -> Tensor:
        """Map [B,C,h,w] -> [B,out,h/stride,w/stride]."""
        hidden = functional.relu(self.first(x), inplace=True)
        hidden = functional.relu(self.second(hidden), inplace=True)
        hidden = self.third(hidden)
        hidden += x if self.shortcut is None else self.shortcut(x)
        return functional.relu(hidden, inplace=True)


def stage(count: int, channels: int, out: int, stride: int, dilation: int = 1) -> nn.Sequential:
    """``count`` bottlenecks, of which the first strides and changes the number of channels."""
    first = Bottleneck(channels, out, stride, dilation)
    return nn.Sequential(first, *(Bottleneck(out, out, 1, dilation) for _ in range(count - 1)))


class Trunk(nn.Module):
    """Pixels [B,3,H,W] -> map of res4 [B,C,h,w]."""

    def __init__(self, config: FrcnnConfig) -> None:
        super().__init__()
        channels = config.res2_channels
        self.caffe_pooling = config.caffe_pooling
        self.stem = ConvNorm(3, config.stem_channels, 7, stride=2)
        self.res2 = stage(config.blocks[0], config.stem_channels, channels, 1)
        self.res3 = stage(config.blocks[1], channels, 2 * channels, 2)
        self.res4 = stage(config.blocks[2], 2 * channels, 4 * channels, 2)
        self.out_channels = 4 * channels

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B,3,H,W] -> map of res4 [B,C,H/16,W/16], rounded up."""
        hidden = functional.relu(self.stem(pixels), inplace=True)
        if self.caffe_pooling:
            hidden = torch.max_pool2d(hidden, 3, 2, padding=0, ceil_mode=True)
        else:
            hidden = torch.max_pool2d(hidden, 3, 2, padding=1)
        found: Tensor = self.res4(self.res3(self.res2(hidden)))
        return found


def fuse_norms(module: nn.Module) -> None:
    """Fold every batch norm below ``module`` into its convolution."""
    for one in module.modules():
        if isinstance(one, ConvNorm):
            one.fuse()
