"""The retrieval model under the interface of a cross-encoder: one logit a pair.

A directory saved from the retrieval model names this class as its second architecture, so that
``AutoModelForSequenceClassification`` (and with it sentence-transformers' ``CrossEncoder``) loads it.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor
from transformers.modeling_outputs import SequenceClassifierOutput

from interbert.model.configuration import InterBertConfig
from interbert.model.retrieval import InterBertForImageTextRetrieval, require_pairs


class InterBertForPairScoring(InterBertForImageTextRetrieval):
    """Logit difference of match and mismatch as the only logit; its sigmoid is the match probability."""

    def __init__(self, config: InterBertConfig) -> None:
        config = copy.deepcopy(config)  # the caller's stays as it is
        config.num_labels = 1
        super().__init__(config)

    def forward(  # type: ignore[override]  # another task's labels
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_locations: Tensor | None = None,
        region_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        """Logits [B,1].

        Args:
            input_ids, attention_mask, token_type_ids, region_features, region_locations, region_mask: as in
                :class:`~interbert.model.trunk.InterBertModel`.
            labels: [B], 1 where text and image match, 0 where not.

        Raises:
            ConfigError: text or image is missing.
        """
        require_pairs(input_ids, region_features)
        assert input_ids is not None
        result = super().forward(
            input_ids,
            attention_mask,
            token_type_ids,
            region_features,
            region_locations,
            region_mask,
            matching_labels=None if labels is None else 1 - labels.long(),
        )
        assert result.logits is not None
        difference = result.logits[:, :1] - result.logits[:, 1:]
        return SequenceClassifierOutput(loss=result.loss, logits=difference)
