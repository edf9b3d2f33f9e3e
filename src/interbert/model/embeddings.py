"""Text and image embeddings (SPEC part 1).

Shapes: B batch, R image tokens (global token first), T text tokens, H hidden size, F region feature size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from interbert.model.configuration import InterBertConfig
from interbert.model.dropout import Dropout
from interbert.model.layers import LayerNorm


class TextEmbeddings(nn.Module):
    """Word + learned position + segment embedding, then LayerNorm, then dropout."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.layer_norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Embed tokens.

        Args:
            input_ids: int64 [B,T].
            token_type_ids: int64 [B,T]; None means segment 0 everywhere.

        Returns:
            [B,T,H].
        """
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        summed = (
            self.word_embeddings(input_ids)
            + self.position_embeddings(positions)
            + self.token_type_embeddings(token_type_ids)
        )
        return self.dropout(self.layer_norm(summed))  # type: ignore[no-any-return]


class ImageEmbeddings(nn.Module):
    """Projected region feature + projected location, then LayerNorm, then the text dropout rate."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.feature_projection = nn.Linear(config.region_feature_size, config.hidden_size)
        self.location_projection = nn.Linear(5, config.hidden_size)
        self.layer_norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feature_dropout = Dropout(config.region_feature_dropout_prob)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, region_features: Tensor, region_locations: Tensor) -> Tensor:
        """Embed regions.

        Args:
            region_features: [B,R,F], global token first.
            region_locations: [B,R,5] as x1/w, y1/h, x2/w, y2/h, area share.

        Returns:
            [B,R,H].
        """
        features = self.feature_dropout(region_features)
        summed = self.feature_projection(features) + self.location_projection(region_locations)
        return self.dropout(self.layer_norm(summed))  # type: ignore[no-any-return]
