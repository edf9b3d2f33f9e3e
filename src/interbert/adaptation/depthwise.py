"""Depthwise convolutions whose gradients a CPU computes quickly.

oneDNN has a fast weight gradient of depthwise convolutions for kernels at most three wide, and none for others: those
go through dense blocks of which fifteen in sixteen numbers are zeros (seven times slower in float32, thirty times in
bf16; benchmarks/results/against_build.md). Its bf16 gradient by the input is as slow for a stride of two. Here a wide
kernel's weight gradient is that of two narrow ones that overlap, and a stride is undone by zeros between the
gradient's numbers.

Shapes: B images, C channels, [h,w] a map, [k,l] a kernel, [o,p] the map that comes out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_NARROW = 3
"""Columns of a kernel whose weight gradient is fast."""


class Depthwise(nn.Module):
    """A depthwise convolution in place of another one, with its parameters.

    Args:
        conv: of as many groups as channels, without dilation; what it does to its input first is done, too.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert conv.groups == conv.in_channels == conv.out_channels
        assert conv.dilation == (1, 1)
        self.weight, self.bias = conv.weight, conv.bias
        self.static_padding = getattr(conv, "static_padding", nn.Identity())
        self._stride, self._padding = tuple(conv.stride), tuple(conv.padding)

    def forward(self, maps: Tensor) -> Tensor:
        """[B,C,h,w] -> [B,C,o,p]."""
        maps, weight, bias = self.static_padding(maps), self.weight, self.bias
        if torch.is_autocast_enabled(maps.device.type):
            kind = torch.get_autocast_dtype(maps.device.type)
            maps, weight = maps.to(kind), weight.to(kind)
            bias = None if bias is None else bias.to(kind)
        found: Tensor = _Convolution.apply(maps, weight, bias, self._stride, self._padding)
        return found


def learn_quickly(network: nn.Module) -> None:
    """Put :class:`Depthwise` in the place of a network's depthwise convolutions; names and weights stay."""
    for owner in list(network.modules()):
        for name, one in list(owner.named_children()):
            if isinstance(one, nn.Conv2d) and one.groups == one.in_channels == one.out_channels > 1:
                setattr(owner, name, Depthwise(one))


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any,
        maps: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> Tensor:
        context.save_for_backward(maps, weight)
        context.stride, context.padding = stride, padding
        return functional.conv2d(maps, weight, bias, stride, padding, groups=len(weight))

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        maps, weight = context.saved_tensors
        (k, l), padding = weight.shape[2:], context.padding  # noqa: E741
        wanted = context.needs_input_grad
        by_bias = gradient.sum(dim=(0, 2, 3), dtype=torch.float32).to(gradient.dtype) if wanted[2] else None
        if context.stride != (1, 1):
            size = maps.shape[2] + 2 * padding[0] - k + 1, maps.shape[3] + 2 * padding[1] - l + 1
            gradient = _spread(gradient, context.stride, size)
        by_maps = by_weight = None
        if wanted[0]:
            back = (k - 1 - padding[0], l - 1 - padding[1])
            by_maps = functional.conv2d(gradient, weight.flip(2, 3), padding=back, groups=len(weight))
        if wanted[1]:
            by_weight = _by_weight(maps, gradient, weight, padding)
        return by_maps, by_weight, by_bias, None, None


def _spread(gradient: Tensor, stride: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """The gradient of a convolution with a stride as that of one without: zeros between, to [o,p] of that one."""
    images, channels = gradient.shape[:2]
    found = gradient.new_zeros(images, *size, channels).permute(0, 3, 1, 2)  # in memory as the maps are
    found[:, :, :: stride[0], :: stride[1]] = gradient
    return found


def _by_weight(maps: Tensor, gradient: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
    """Gradient [C,1,k,l] by the weight, of a stride of one."""
    width = weight.shape[3]
    if width <= _NARROW:
        return _narrow(maps, gradient, weight, padding)
    found = torch.empty_like(weight)
    for start in {*range(0, width - _NARROW, _NARROW), width - _NARROW}:
        left = padding[1] - start
        right = start + gradient.shape[3] + _NARROW - 1 - padding[1] - maps.shape[3]
        part = slice(start, start + _NARROW)
        found[..., part] = _narrow(functional.pad(maps, (left, right)), gradient, weight[..., part], (padding[0], 0))
    return found


def _narrow(maps: Tensor, gradient: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
    maps = maps.contiguous(memory_format=torch.channels_last)
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    _, found, _ = torch.ops.aten.convolution_backward(
        gradient, maps, weight, None, [1, 1], padding, [1, 1], False, [0, 0], len(weight), [False, True, False]
    )
    return found  # type: ignore[no-any-return]
