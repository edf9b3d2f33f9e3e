"""The interaction -> extraction chain (paper section 3.1, SPEC part 1).

Shapes: B batch, L sequence length, R image tokens, T text tokens, H hidden size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.masking_utils import create_bidirectional_mask

from interbert.errors import ConfigError
from interbert.model.configuration import InterBertConfig
from interbert.model.layers import LayerSizes, LayerStack
from interbert.model.packing import PADDED, Packings


class InterBertEncoder(nn.Module):
    """Interaction over the joint sequence, then extraction of each modality on its own.

    Image tokens come first in the joint sequence. With one modality absent, the other runs alone through the same
    layers.
    """

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.config = config
        text_sizes, image_sizes = LayerSizes.text(config), LayerSizes.image(config)
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
    ) -> tuple[Tensor | None, Tensor | None]:
        """Encode embedded tokens.

        Args:
            text: [B,T,H] or None.
            image: [B,R,H] or None; not both None.
            text_mask: [B,T], 1 at real tokens, or None when all are.
            image_mask: [B,R], likewise.
            pooled_only: compute only the first position of each output (what the poolers read).
            skip_padding: compute real tokens alone where that saves time; the outputs are then zero at padding.

        Returns:
            text hidden state [B,T,H] and image hidden state [B,R,H] (length 1 each with ``pooled_only``), None for
            an absent side.
        """
        if text is not None and image is not None and text.shape[0] != image.shape[0]:
            raise ConfigError(
                f"{text.shape[0]} texts and {image.shape[0]} pictures make no pairs. Give as many of each, or one side."
            )
        if text_mask is not None or image_mask is not None:
            text_mask, image_mask = _whole_mask(text, text_mask), _whole_mask(image, image_mask)
        packings = Packings.of(text_mask, image_mask) if skip_padding else PADDED
        text, image = packings.pack(text, image)
        sides = [side for side in (image, text) if side is not None]
        axis = 1 if packings is PADDED else 0
        joint = torch.cat(sides, dim=axis)
        joint_mask = _side_by_side(image_mask, text_mask)
        hidden = self.interaction_layers(joint, self._mask(joint, joint_mask), packing=packings.joint)
        parts = iter(hidden.split([side.shape[axis] for side in sides], dim=axis))
        if image is not None:
            image = self.image_layers(next(parts), self._mask(joint, image_mask), pooled_only, packings.image)
        if text is not None:
            text = self.text_layers(next(parts), self._mask(joint, text_mask), pooled_only, packings.text)
        return packings.unpack(text, image, pooled_only)

    def _mask(self, like: Tensor, mask: Tensor | None) -> Tensor | None:
        """Turn [B,L] ones and zeros into the form the attention implementation wants."""
        if mask is None:
            return None
        full: Tensor | None = create_bidirectional_mask(
            config=self.config, inputs_embeds=like.new_empty((*mask.shape, 1)), attention_mask=mask
        )
        return full


def _whole_mask(side: Tensor | None, mask: Tensor | None) -> Tensor | None:
    """The mask int64 [B,L] of a side that is there: ones when none was given."""
    if side is None:
        return None
    return torch.ones(side.shape[:2], dtype=torch.long, device=side.device) if mask is None else mask.long()


def _side_by_side(image_mask: Tensor | None, text_mask: Tensor | None) -> Tensor | None:
    masks = [mask for mask in (image_mask, text_mask) if mask is not None]
    return torch.cat(masks, dim=1) if masks else None
