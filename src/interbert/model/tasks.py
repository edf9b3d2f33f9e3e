"""Models with task heads: the reference's task model, multiple choice, and classification.

Shapes: B batch, R image tokens (global token first), T text tokens, H hidden size, F region feature size, P pooled
size, N choices.
"""

from __future__ import annotations

from torch import Tensor, nn

from interbert.model.configuration import InterBertConfig
from interbert.model.dropout import Dropout
from interbert.model.heads import Fusion, LMHead, RegionHead
from interbert.model.outputs import InterBertForVLTasksOutput, InterBertModelOutput, InterBertTaskOutput
from interbert.model.trunk import InterBertModel, InterBertPreTrainedModel, apply_to


class InterBertForVLTasks(InterBertPreTrainedModel):
    """Every head of the reference's task model, on one trunk."""

    _tied_weights_keys = {  # noqa: RUF012
        "lm_head.decoder.weight": "interbert.text_embeddings.word_embeddings.weight"
    }

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(config)
        self.interbert = InterBertModel(config)
        self.fusion = Fusion(config)
        self.dropout = Dropout(config.fusion_dropout_prob)
        self.lm_head = LMHead(config)
        self.region_head = RegionHead(config)
        self.matching_head = nn.Linear(config.pooler_size, 2)
        self.prediction_head = nn.Linear(config.pooler_size, config.num_labels)
        self.logit_head = nn.Linear(config.pooler_size, 1)
        self.image_token_head = nn.Linear(config.hidden_size, 1)
        self.text_token_head = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        """Return the LM decoder, tied to the word embedding."""
        return self.lm_head.decoder

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_locations: Tensor | None = None,
        region_mask: Tensor | None = None,
    ) -> InterBertForVLTasksOutput:
        """Outputs of all heads; those of an absent side are None. Inputs as in :class:`InterBertModel`."""
        output = self.interbert(
            input_ids, attention_mask, token_type_ids, region_features, region_locations, region_mask
        )
        text, image = output.text_hidden_state, output.image_hidden_state
        fused = self.fusion(output.text_pooled, output.image_pooled)
        task_fused = self.dropout(fused)
        result = InterBertForVLTasksOutput(
            prediction=self.prediction_head(task_fused),
            logit=self.logit_head(task_fused),
            matching_logits=self.matching_head(self.dropout(fused)),
        )
        if image is not None:
            result.image_logits = self.image_token_head(self.dropout(image))
            if region_mask is not None:
                penalty = (1.0 - region_mask.to(image.dtype)) * -10000.0
                result.image_logits = result.image_logits + penalty.unsqueeze(2)
            result.region_logits = self.region_head(image)
        if text is not None:
            result.text_logits = self.text_token_head(self.dropout(text))
            result.lm_logits = self.lm_head(text)
        return result


class InterBertForMultipleChoice(InterBertPreTrainedModel):
    """A 1-logit head on the fused vector, softmax over choices (VCR, SPEC part 4)."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(config)
        self.interbert = InterBertModel(config)
        self.fusion = Fusion(config)
        self.dropout = Dropout(config.fusion_dropout_prob)
        self.logit_head = nn.Linear(config.pooler_size, 1)
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
        """Logits [B,N] over choices.

        Args:
            input_ids, attention_mask, token_type_ids: [B,N,T], one text per choice.
            region_features, region_locations, region_mask: [B,R,...], one image per item.
            labels: int64 [B], the right choice.
        """
        batch, choices = input_ids.shape[:2]

        def flat(side: Tensor) -> Tensor:
            return side.flatten(0, 1)

        def repeat(side: Tensor) -> Tensor:
            return side.repeat_interleave(choices, dim=0)

        output = self.interbert(
            flat(input_ids),
            apply_to(attention_mask, flat),
            apply_to(token_type_ids, flat),
            apply_to(region_features, repeat),
            apply_to(region_locations, repeat),
            apply_to(region_mask, repeat),
            pooled_only=True,
        )
        fused = self.dropout(self.fusion(output.text_pooled, output.image_pooled))
        logits = self.logit_head(fused).view(batch, choices)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return InterBertTaskOutput(loss=loss, logits=logits)


class InterBertForSequenceClassification(InterBertPreTrainedModel):
    """Linear(P->num_labels) on the fused vector: of a text, of an image, or of a pair."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(config)
        self.interbert = InterBertModel(config)
        self.fusion = Fusion(config)
        self.dropout = Dropout(config.fusion_dropout_prob)
        self.prediction_head = nn.Linear(config.pooler_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_locations: Tensor | None = None,
        region_mask: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> InterBertTaskOutput:
        """Logits [B,num_labels]; ``labels`` int64 [B]. Inputs as in :class:`InterBertModel`."""
        output = self.interbert(
            input_ids,
            attention_mask,
            token_type_ids,
            region_features,
            region_locations,
            region_mask,
            pooled_only=True,
        )
        logits = self.label_logits(output)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return InterBertTaskOutput(loss=loss, logits=logits)

    def label_logits(self, output: InterBertModelOutput) -> Tensor:
        """Logits [B,num_labels] of what the trunk gives."""
        logits: Tensor = self.prediction_head(self.dropout(self.fusion(output.text_pooled, output.image_pooled)))
        return logits
