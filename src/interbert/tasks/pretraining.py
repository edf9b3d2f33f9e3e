"""Losses of pretraining around a model (paper section 3.2, with the dual contrast), and its validation by retrieval."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from interbert.losses.pretraining import masked_lm_loss, matching_loss, region_loss
from interbert.model.modeling import InterBertForPreTraining, predict_at
from interbert.tasks.base import inputs_of
from interbert.tasks.contrast import contrast
from interbert.tasks.retrieval import RetrievalTask


class PretrainingTask(RetrievalTask):
    """Learns by the pretraining objectives and is judged by retrieval, as its base class says."""

    least_steps = 100
    mean_over = {"lm_loss": "predicted_tokens", "region_loss": "predicted_regions"}  # noqa: RUF012

    def losses(self, model: InterBertForPreTraining, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :func:`pretraining_losses`."""
        return pretraining_losses(model, batch)


def pretraining_losses(model: InterBertForPreTraining, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every objective's loss, and ``loss``, their sum by the configuration's weights.

    They are what the model's ``forward`` gives with labels, but positions and padding are listed in the batch: a GPU
    need not wait for any of them.

    Args:
        model: to train.
        batch: of :class:`~interbert.data.collation.PretrainingCollator`; with ``predicted_counts`` float [2] the summed
            losses of tokens and of regions are divided by these: a share of a step's batches over all processes.
    """
    output = model.interbert.encode(**inputs_of(batch))
    assert output.text_hidden_state is not None
    assert output.image_hidden_state is not None
    counts = batch.get("predicted_counts")
    token_count, region_count = (None, None) if counts is None else counts.unbind()
    tokens, regions = batch["predicted_tokens"], batch["predicted_regions"]
    token_logits = predict_at(model.lm_head, output.text_hidden_state, tokens)
    region_logits = predict_at(model.region_head, output.image_hidden_state, regions)
    objective = model.config.region_objective
    losses = {
        "lm_loss": masked_lm_loss(token_logits, batch["lm_labels"].flatten()[tokens], token_count),
        "region_loss": region_loss(region_logits, batch["region_targets"], objective, region_count),
        "matching_loss": matching_loss(model.matching_logits(output), batch["matching_labels"]),
    }
    if "contrast_input_ids" in batch:
        losses["contrastive_loss"] = _own_pairs_contrast(model, batch)
    return {"loss": model.total_loss(losses), **losses}


def _own_pairs_contrast(model: InterBertForPreTraining, batch: Mapping[str, Tensor]) -> Tensor:
    """Contrast of the images with their own captions, both unmasked."""
    ids, mask = batch["contrast_input_ids"], batch.get("contrast_attention_mask")
    text_pooled = model.pool_text(ids, mask, batch.get("contrast_real_tokens"))
    image_pooled = model.pool_image(
        batch["contrast_region_features"],
        batch["region_locations"],
        batch.get("region_mask"),
        batch.get("real_regions"),
    )
    first = model.global_token(batch["contrast_region_features"], batch["region_locations"])
    return contrast(model, text_pooled, image_pooled, batch.get("contrast_same"), model.words(ids, mask), first)
