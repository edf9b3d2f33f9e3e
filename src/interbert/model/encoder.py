"""The interaction -> extraction chain (paper section 3.1, SPEC part 1).

Shapes: B batch, L sequence length, R image tokens, T text tokens, H hidden size.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from transformers.masking_utils import create_bidirectional_mask

from interbert.errors import ConfigError
from interbert.model.configuration import InterBertConfig
from interbert.model.layers import LayerSizes, LayerStack
from interbert.model.packing import PADDED, Packings
from interbert.model.short_attention import short_attention_fits
from interbert.model.varlen import Sequences, ShortSequences, compute_dtype, varlen_kernel


class InterBertEncoder(nn.Module):
    """Interaction over the joint sequence, then extraction of each modality on its own.

    Image tokens come first in the joint sequence. With one modality absent, the other runs alone through the same
    layers.
    """

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.config = config
        text_sizes, image_sizes = self._sizes = LayerSizes.text(config), LayerSizes.image(config)
        self._head_sizes = [config.hidden_size // sizes.heads for sizes in self._sizes]
        self.interaction_layers = LayerStack(config, text_sizes, config.num_interaction_layers)
        self.text_layers = LayerStack(config, text_sizes, config.num_text_layers)
        self.image_layers = LayerStack(config, image_sizes, config.num_image_layers)

    def forward(
        self,
        text: Tensor | None,
        image: Tensor | None,
        text_mask: Tensor | None,
        image_mask: Tensor | None,
        pooled_only: bool = False,
        skip_padding: bool = False,
        real_tokens: Tensor | None = None,
        real_regions: Tensor | None = None,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Encode embedded tokens.

        Args:
            text: [B,T,H] or None.
            image: [B,R,H] or None; not both None.
            text_mask: [B,T], 1 at real tokens, or None when all are.
            image_mask: [B,R], likewise.
            pooled_only: compute only the first position of each output (what the poolers read).
            skip_padding: compute real tokens alone where that saves time; the outputs are then zero at padding.
            real_tokens: int64 [N], where ``text_mask`` is 1 in its flat order, the first token of every text among
                them. A GPU skips padding only when given this; on a CPU the masks say it.
            real_regions: int64 [N'], likewise of ``image_mask``.

        Returns:
            text hidden state [B,T,H] and image hidden state [B,R,H] (length 1 each with ``pooled_only``), None for
            an absent side.
        """
        if text is not None and image is not None and text.shape[0] != image.shape[0]:
            raise ConfigError(
                f"{text.shape[0]} texts and {image.shape[0]} images make no pairs. Give as many of each, or one side."
            )
        if text_mask is not None or image_mask is not None:
            text_mask, real_tokens = _whole(text, text_mask, real_tokens)
            image_mask, real_regions = _whole(image, image_mask, real_regions)
        short = self._short(text, image)
        packings = PADDED
        if skip_padding and (short or not torch.compiler.is_compiling()):
            packings = self._packings(
                text if image is None else image, text_mask, image_mask, real_tokens, real_regions, short
            )
        if packings.by_kernel:
            text_mask = image_mask = None  # making them for the attention implementation would let a GPU wait
        text, image = packings.pack(text, image)
        sides = [side for side in (image, text) if side is not None]
        axis = 1 if packings is PADDED else 0
        joint = packings.interleave(torch.cat(sides, dim=axis))
        joint_mask = _side_by_side(image_mask, text_mask)
        short = short and packings is PADDED
        joint = self.interaction_layers(joint, self._mask(joint, joint_mask, short), packing=packings.joint)
        parts = iter(torch.split(packings.part(joint), [side.shape[axis] for side in sides], dim=axis))
        if image is not None:
            image = next(parts)
            image = self.image_layers(image, self._mask(image, image_mask, short), pooled_only, packings.image)
        if text is not None:
            text = next(parts)
            text = self.text_layers(text, self._mask(text, text_mask, short), pooled_only, packings.text)
        return packings.unpack(text, image, pooled_only)

    def _packings(
        self,
        like: Tensor | None,
        text_mask: Tensor | None,
        image_mask: Tensor | None,
        real_tokens: Tensor | None,
        real_regions: Tensor | None,
        short: bool,
    ) -> Packings:
        """Packings for a kernel where one takes tokens ``like`` these; else for the attention implementation."""
        if short:
            return Packings.for_kernel(text_mask, image_mask, real_tokens, real_regions, ShortSequences.packed)
        kernel = None
        if like is not None and self.config._attn_implementation != "eager":
            dropout = max(sizes.attention_dropout for sizes in self._sizes) if self.training else 0.0
            kernel = varlen_kernel(like.device, compute_dtype(like), dropout, self._head_sizes)
        if kernel is None:
            return Packings.of(text_mask, image_mask)
        sequences_of = partial(Sequences.of, kernel=kernel)
        return Packings.for_kernel(text_mask, image_mask, real_tokens, real_regions, sequences_of)

    def _short(self, text: Tensor | None, image: Tensor | None) -> bool:
        """Whether the kernels for short sequences attend."""
        sides = [side for side in (image, text) if side is not None]
        longest = sum(side.shape[1] for side in sides)
        asked = self.config._attn_implementation == "sdpa"
        return asked and short_attention_fits(sides[0].device, compute_dtype(sides[0]), longest, self._head_sizes)

    def _mask(self, like: Tensor, mask: Tensor | None, short: bool) -> Tensor | ShortSequences | None:
        """Turn [B,L] ones and zeros into the form that attention to tokens ``like`` these wants."""
        if short:
            return ShortSequences.padded(like.shape[0], like.shape[1], mask, like.device)
        if mask is None:
            return None
        full: Tensor | None = create_bidirectional_mask(
            config=self.config, inputs_embeds=like.new_empty((*mask.shape, 1)), attention_mask=mask
        )
        return full


def _whole(side: Tensor | None, mask: Tensor | None, real: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """The mask int64 [B,L] of a side that is there and its real tokens' places: ones, and all, when it had no mask."""
    if side is None:
        return None, None
    if mask is not None:
        return mask.long(), real
    batch, length = side.shape[:2]
    everywhere = torch.ones((batch, length), dtype=torch.long, device=side.device)
    return everywhere, torch.arange(batch * length, device=side.device)


def _side_by_side(image_mask: Tensor | None, text_mask: Tensor | None) -> Tensor | None:
    masks = [mask for mask in (image_mask, text_mask) if mask is not None]
    return torch.cat(masks, dim=1) if masks else None
