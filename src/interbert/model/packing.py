"""Padded batches as rows of real tokens alone, so that nothing but attention is computed on padding.

Shapes: B batch, L sequence length, N real tokens of the batch, R image tokens, T text tokens, H hidden size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interbert.model.varlen import Sequences, ShortSequences

SequencesOf = Callable[[Tensor], Sequences | ShortSequences]

_STEPS = 5
"""Numbers of rows have so many binary digits before only zeros follow."""


@dataclass(frozen=True)
class Packing:
    """Where the real tokens of a padded batch are."""

    slots: Tensor
    """int64 [N], place of each packed token in the flattened padded batch [B*L]; of some padding too, at the end."""
    first: Tensor
    """int64 [B], packed row of each sequence's first token."""
    batch: int
    length: int
    sequences: Sequences | ShortSequences | None = None
    """For attention without unpacking; None where tokens are unpacked for it."""
    real: int | None = None
    """Packed tokens that are no padding; None when all are."""

    @classmethod
    def of(cls, mask: Tensor) -> Packing:
        """Packing of a mask [B,L], 1 at real tokens, whose first token is real in every sequence.

        Some padding comes along, up to a sixteenth, so that N has few values: oneDNN makes kernels for each, and keeps
        them with their memory.
        """
        batch, length = mask.shape
        real = mask.bool()
        counts = real.sum(dim=1)
        slots = real.flatten().nonzero().squeeze(1)
        step = 1 << max(len(slots).bit_length() - _STEPS, 0)
        padding = (~real).flatten().nonzero().squeeze(1)[: -len(slots) % step]
        return cls(torch.cat([slots, padding]), counts.cumsum(0) - counts, batch, length, real=len(slots))

    @classmethod
    def for_kernel(cls, mask: Tensor, slots: Tensor, sequences_of: SequencesOf) -> Packing:
        """The same for a kernel, of slots int64 [N] that are known already: a GPU then need not wait for N."""
        batch, length = mask.shape
        sequences = sequences_of(mask)
        return cls(slots, sequences.starts[:-1].long(), batch, length, sequences)

    def pack(self, padded: Tensor) -> Tensor:
        """[B,L,H] -> [N,H]."""
        return _Rows.apply(padded.flatten(0, 1), self.slots)  # type: ignore[no-any-return]

    def unpack(self, packed: Tensor, zeros: bool = True) -> Tensor:
        """[N,H] -> [B,L,H], with zeros at padding, or with whatever came along."""
        kept = slice(self.real if zeros else None)
        padded = packed.new_zeros(self.batch * self.length, packed.shape[-1])
        return padded.index_copy_(0, self.slots[kept], packed[kept]).view(self.batch, self.length, -1)

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
    order: Tensor | None = None
    """int64 [N], which of all image rows followed by all text rows each joint row is; None: they are the joint rows."""

    @classmethod
    def of(cls, text_mask: Tensor | None, image_mask: Tensor | None) -> Packings:
        """Packings of masks [B,T] and [B,R] (None for an absent side); ``PADDED`` where packing would save nothing.

        It saves nothing without padding, needs the first token, which is pooled, to be real, and is not done on GPUs,
        which would have to wait for N: they need :meth:`for_kernel`.
        """
        masks = [mask for mask in (text_mask, image_mask) if mask is not None]
        if any(mask.device.type != "cpu" for mask in masks):
            return PADDED
        if all(bool(mask.all()) for mask in masks) or not all(bool(mask[:, 0].all()) for mask in masks):
            return PADDED
        text = None if text_mask is None else Packing.of(text_mask)
        image = None if image_mask is None else Packing.of(image_mask)
        if text is None or image is None:
            return cls(text, image, image if text is None else text)
        return cls(text, image, text.after(image))

    @classmethod
    def for_kernel(
        cls,
        text_mask: Tensor | None,
        image_mask: Tensor | None,
        real_tokens: Tensor | None,
        real_regions: Tensor | None,
        sequences_of: SequencesOf,
    ) -> Packings:
        """Packings in which every sequence's rows lie together, as kernels need them.

        Only shapes are looked at, so a GPU waits for nothing. That the first token of every sequence is real is
        taken for granted.

        Args:
            text_mask, image_mask: [B,T] and [B,R], None for an absent side.
            real_tokens, real_regions: int64 [N] of each, where the masks are 1 in their flat order; ``PADDED`` when a
                side that is there has none, or when none of them leaves anything out.
            sequences_of: a mask's sequences for the kernel.
        """
        sides = ((text_mask, real_tokens), (image_mask, real_regions))
        masks = [mask for mask, _ in sides if mask is not None]
        real = [one for mask, one in sides if mask is not None and one is not None]
        if len(real) < len(masks) or sum(map(len, real)) == sum(mask.numel() for mask in masks):
            return PADDED

        def packed(mask: Tensor | None, real: Tensor | None) -> Packing | None:
            return None if mask is None or real is None else Packing.for_kernel(mask, real, sequences_of)

        text, image = packed(text_mask, real_tokens), packed(image_mask, real_regions)
        if text is None or image is None:
            return cls(text, image, image if text is None else text)
        assert text_mask is not None
        assert image_mask is not None
        slots, order = text.after(image).slots.sort()
        return cls(
            text, image, Packing.for_kernel(torch.cat([image_mask, text_mask], dim=1), slots, sequences_of), order
        )

    @property
    def by_kernel(self) -> bool:
        """Whether attention needs no masks, because a kernel knows where sequences end."""
        return self.joint is not None and self.joint.sequences is not None

    def interleave(self, joint: Tensor) -> Tensor:
        """Rows [N,H] of all image tokens, then of all text tokens, to the joint packing's order; padded as they are."""
        return joint if self.order is None else _Rows.apply(joint, self.order)

    def part(self, joint: Tensor) -> Tensor:
        """Undo :meth:`interleave`."""
        return joint if self.order is None else _Rows.apply(joint, self.order.argsort())

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
