"""The trunk that every InterBERT shares: embeddings, encoder and poolers.

Shapes: B batch, R image tokens (global token first), T text tokens, H hidden size, F region feature size, P pooled
size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils.output_capturing import capture_outputs

from interbert.errors import ConfigError
from interbert.model.configuration import InterBertConfig
from interbert.model.embeddings import ImageEmbeddings, TextEmbeddings
from interbert.model.encoder import InterBertEncoder
from interbert.model.heads import Pooler
from interbert.model.layers import BertLayer, SelfAttention
from interbert.model.outputs import InterBertModelOutput


class InterBertPreTrainedModel(PreTrainedModel):  # type: ignore[misc]
    """Initialisation, saving and loading shared by all InterBERT models."""

    config_class = InterBertConfig
    config: InterBertConfig
    base_model_prefix = "interbert"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False
    _no_split_modules = ["BertLayer"]  # noqa: RUF012  (the base class's own form)
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": BertLayer, "attentions": SelfAttention}  # noqa: RUF012

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Weights N(0, initializer_range), biases 0, LayerNorm 1/0 (SPEC part 1)."""
        super()._init_weights(module)


class InterBertModel(InterBertPreTrainedModel):
    """Embeddings, encoder and poolers."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(config)
        self.text_embeddings = TextEmbeddings(config)
        self.image_embeddings = ImageEmbeddings(config)
        self.encoder = InterBertEncoder(config)
        self.text_pooler = Pooler(config)
        self.image_pooler = Pooler(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the word embedding."""
        return self.text_embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the word embedding."""
        self.text_embeddings.word_embeddings = value

    @capture_outputs  # type: ignore[untyped-decorator]  # output_attentions, output_hidden_states
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_locations: Tensor | None = None,
        region_mask: Tensor | None = None,
        pooled_only: bool = False,
        skip_padding: bool = False,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> InterBertModelOutput:
        """Encode texts, images, or pairs of both.

        Args:
            input_ids: int64 [B,T]; None for images alone.
            attention_mask: [B,T], 1 at real tokens; None when all are.
            token_type_ids: int64 [B,T]; None means segment 0.
            region_features: [B,R,F], global token first; None for texts alone.
            region_locations: [B,R,5].
            region_mask: [B,R], 1 at real regions; None when all are.
            pooled_only: compute no more than the pooled vectors need; hidden states then have length 1.
            skip_padding: compute real tokens alone where that saves time; hidden states are then zero at padding.
            output_attentions: return the attention weights of every layer; the configuration's when not given.
            output_hidden_states: return the hidden states around every layer; the configuration's when not given.

        Raises:
            ConfigError: neither side is given, or features come without locations.
        """
        recorded = output_attentions or output_hidden_states
        recorded = recorded or self.config.output_attentions or self.config.output_hidden_states
        return self.encode(
            input_ids,
            attention_mask,
            token_type_ids,
            region_features,
            region_locations,
            region_mask,
            pooled_only,
            skip_padding=(skip_padding or pooled_only) and not recorded,
        )

    def encode(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_locations: Tensor | None = None,
        region_mask: Tensor | None = None,
        pooled_only: bool = False,
        skip_padding: bool = True,
        real_tokens: Tensor | None = None,
        real_regions: Tensor | None = None,
    ) -> InterBertModelOutput:
        """:meth:`forward` for training: told where padding is, a GPU skips it too.

        Args:
            input_ids, attention_mask, token_type_ids, region_features, region_locations, region_mask: as there.
            pooled_only, skip_padding: as there.
            real_tokens: int64 [N], flat positions of [B,T] where ``attention_mask`` is 1, the first token of every text
                among them; a GPU skips padding only when told where it is, because looking would make it wait.
            real_regions: int64 [N'], flat positions of [B,R] where ``region_mask`` is 1, likewise.

        Raises:
            ConfigError: neither side is given, or features come without locations.
        """
        if input_ids is None and region_features is None:
            raise ConfigError("Give input_ids, region_features, or both: the model got neither.")
        text = image = None
        if input_ids is not None:
            text = self.text_embeddings(input_ids, token_type_ids)
        if region_features is not None:
            if region_locations is None:
                raise ConfigError("region_features need region_locations [B,R,5] beside them.")
            image = self.image_embeddings(region_features, region_locations)
        return self.encode_embedded(
            text, image, attention_mask, region_mask, pooled_only, skip_padding, real_tokens, real_regions
        )

    def encode_embedded(
        self,
        text: Tensor | None,
        image: Tensor | None,
        attention_mask: Tensor | None = None,
        region_mask: Tensor | None = None,
        pooled_only: bool = False,
        skip_padding: bool = False,
        real_tokens: Tensor | None = None,
        real_regions: Tensor | None = None,
    ) -> InterBertModelOutput:
        """Encode tokens that are embedded already ([B,T,H], [B,R,H]): what pair scoring reuses for each image."""
        text, image = self.encoder(
            text, image, attention_mask, region_mask, pooled_only, skip_padding, real_tokens, real_regions
        )
        return InterBertModelOutput(
            text_hidden_state=text,
            image_hidden_state=image,
            text_pooled=None if text is None else self.text_pooler(text),
            image_pooled=None if image is None else self.image_pooler(image),
        )


def apply_to(side: Tensor | None, change: Callable[[Tensor], Tensor]) -> Tensor | None:
    """``change`` a tensor that may be absent."""
    return None if side is None else change(side)
