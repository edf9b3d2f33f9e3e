"""Choice of the region that a text means (referring expressions, phrases).

Shapes: B batch, R image tokens (global token first), N = R - 1 regions, H hidden size.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from interbert.model.configuration import InterBertConfig
from interbert.model.dropout import Dropout
from interbert.model.modeling import InterBertModel, InterBertPreTrainedModel, InterBertTaskOutput

_NEVER = -10000.0


class InterBertForRegionChoice(InterBertPreTrainedModel):
    """Linear(H->1) on the image tokens, as the reference's task model has it, without the global one."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(config)
        self.interbert = InterBertModel(config)
        self.dropout = Dropout(config.fusion_dropout_prob)
        self.image_token_head = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_locations: Tensor | None = None,
        region_mask: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> InterBertTaskOutput:
        """Logits [B,N], -10000 at padding; with ``labels`` [B,N] in [0,1] the loss of :func:`region_choice_loss`.

        Inputs as in :class:`~interbert.model.modeling.InterBertModel`.
        """
        logits = self.region_logits(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            region_features=region_features,
            region_locations=region_locations,
            region_mask=region_mask,
        )
        loss = None if labels is None else region_choice_loss(logits, labels)
        return InterBertTaskOutput(loss=loss, logits=logits)

    def region_logits(self, **inputs: Any) -> Tensor:
        """Logits [B,N] of the trunk's inputs."""
        state = self.interbert.encode(**inputs).image_hidden_state
        assert state is not None, "regions are chosen of an image"
        logits: Tensor = self.image_token_head(self.dropout(state[:, 1:])).squeeze(-1)
        mask = inputs.get("region_mask")
        return logits if mask is None else logits.masked_fill(mask[:, 1:] == 0, _NEVER)


def region_choice_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy summed over an item's regions, averaged over items (ViLBERT, arXiv 1908.02265).

    Args:
        logits: [B,N], -10000 at padding, where the loss is 0.
        targets: [B,N], what is right of each region; 0 at padding.
    """
    return nn.functional.binary_cross_entropy_with_logits(logits.float(), targets.float(), reduction="sum") / len(
        logits
    )
