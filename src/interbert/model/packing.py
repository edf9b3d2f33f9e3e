"""Padded batches as rows of real tokens alone, so that nothing but attention is computed on padding.

Shapes: B batch, L sequence length, N real tokens of the batch, R image tokens, T text tokens, H hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Where the real tokens of a padded batch are."""

    slots: Tensor
    """int64 [N], place of each packed token in the flattened padded batch [B*L]."""
    first: Tensor
    """int64 [B], packed row of each sequence's first token."""
    batch: int
    length: int

    @classmethod
    def of(cls, mask: Tensor) -> Packing:
        """Packing of a mask [B,L], 1 at real tokens, whose first token is real in every sequence."""
        counts = mask.bool().sum(dim=1)
        return cls(mask.bool().flatten().nonzero().squeeze(1), counts.cumsum(0) - counts, *mask.shape)

    def pack(self, padded: Tensor) -> Tensor:
        """[B,L,H] -> [N,H]."""
        return _Rows.apply(padded.flatten(0, 1), self.slots)  # type: ignore[no-any-return]

    def unpack(self, packed: Tensor) -> Tensor:
        """[N,H] -> [B,L,H], zeros at padding."""
        padded = packed.new_zeros(self.batch * self.length, packed.shape[-1])
        return padded.index_copy_(0, self.slots, packed).view(self.batch, self.length, -1)

    def after(self, other: Packing) -> Packing:
        """Packing of the joint sequence whose first part is ``other``'s: all its packed tokens come before all of ours.

        Rows of a linear map have no order, so the two parts need not be interleaved, and are split by a slice.
        """
        theirs = other.slots + other.slots // other.length * self.length
        ours = self.slots + (self.slots // self.length + 1) * other.length
        return Packing(torch.cat([theirs, ours]), other.first, self.batch, other.length + self.length)


class _Rows(torch.autograd.Function):
    """Rows of a matrix, none twice: the gradient is then a copy, where indexing would add up."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.height = len(matrix)
        return matrix.index_select(0, rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        return gradient.new_zeros(ctx.height, gradient.shape[1]).index_copy_(0, rows, gradient), None


@dataclass(frozen=True)
class Packings:
    """Packings of a batch of pairs, or of one side alone; all None for padded tokens."""

    text: Packing | None
    image: Packing | None
    joint: Packing | None
    """Image tokens first."""

    @classmethod
    def of(cls, text_mask: Tensor | None, image_mask: Tensor | None) -> Packings:
        """Packings of masks [B,T] and [B,R] (None for an absent side); ``PADDED`` where packing would save nothing.

        It saves nothing without padding, needs the first token, which is pooled, to be real, and is not done on GPUs
        (not measured there) nor in compiled and exported graphs, because N differs from batch to batch.
        """
        masks = [mask for mask in (text_mask, image_mask) if mask is not None]
        if torch.compiler.is_compiling() or any(mask.device.type != "cpu" for mask in masks):
            return PADDED
        if all(bool(mask.all()) for mask in masks) or not all(bool(mask[:, 0].all()) for mask in masks):
            return PADDED
        text = None if text_mask is None else Packing.of(text_mask)
        image = None if image_mask is None else Packing.of(image_mask)
        if text is None or image is None:
            return cls(text, image, image if text is None else text)
        return cls(text, image, text.after(image))

    def pack(self, text: Tensor | None, image: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Both sides [B,L,H] to [N,H]; as they are when nothing is packed."""
        return (
            text if text is None or self.text is None else self.text.pack(text),
            image if image is None or self.image is None else self.image.pack(image),
        )

    def unpack(
        self, text: Tensor | None, image: Tensor | None, first_only: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """Both sides [N,H] (with ``first_only`` [B,H]) to [B,L,H] ([B,1,H]); as they are when nothing is packed."""

        def padded(side: Tensor | None, packing: Packing | None) -> Tensor | None:
            if side is None or packing is None:
                return side
            return side.unsqueeze(1) if first_only else packing.unpack(side)

        return padded(text, self.text), padded(image, self.image)


PADDED = Packings(None, None, None)
