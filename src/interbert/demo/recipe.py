"""How the demo trains: the ordinary recipe, cut to the minutes that two cores have."""

from __future__ import annotations

from pathlib import Path

from interbert.training.arguments import uses_bf16
from interbert.training.options import (
    FinetuneNegativeOptions,
    FinetuneRetrievalOptions,
    MaskingOptions,
    ModelOptions,
    NegativeOptions,
    PretrainOptions,
    TrainingOptions,
    WarmStartOptions,
)

PRETRAINING_PAIRS = 24_000
"""Pairs seen in pretraining, after the warm start: about seven minutes on two cores."""
FINETUNING_PAIRS = 1_200
"""True pairs seen in fine-tuning, each with three false ones: a minute and a half on two cores."""
_VALIDATIONS = 6
"""Of fine-tuning, at most so many where its passes are whole: each takes as long as several steps."""
_OLDER = 3.0
"""How much longer the same takes on two cores that do not multiply bf16."""


def is_slow() -> bool:
    """Whether this machine multiplies float32 alone."""
    return not uses_bf16(TrainingOptions())


def slowness() -> float:
    """How much longer than expected everything takes here."""
    return _OLDER if is_slow() else 1.0


def usual_effort() -> float:
    """How much of the training this machine does when nothing is said: people wait for it."""
    return 0.5 if is_slow() else 1.0


def pretraining(folder: Path, init_from: str, pairs: int, effort: float) -> PretrainOptions:
    """Recipe of the demo's pretraining.

    Args:
        folder: the demo's; holds the region stores and takes the model.
        init_from: BERT to start from.
        pairs: text-image pairs there are.
        effort: multiplies the work.
    """
    epochs = max(effort * PRETRAINING_PAIRS / pairs, 0.05)
    return PretrainOptions(
        regions=str(folder / "regions" / "train"),
        validation=str(folder / "regions" / "validation"),
        out=str(folder / "models" / "pretrained"),
        init_from=init_from,
        # a thousand images are learnt by heart in no time: much dropout where they are met first
        warm_start=WarmStartOptions(head_epochs=20, epochs=3, learning_rate=1e-3, batch_size=256, dropout=0.7),
        model=ModelOptions(lm_loss_weight=0.5, region_dropout=0.3),
        masking=MaskingOptions(),
        negatives=NegativeOptions(hard_share=0.5, random_epochs=epochs / 4, rise_epochs=epochs / 4),
        training=TrainingOptions(
            epochs=epochs,
            batch_size=64,
            learning_rate=3e-4,
            bert_learning_rate_scale=0.3,
            ema_decay=0.99,
            log_steps=max(1, round(effort * 5)),
        ),
    )


def finetuning(folder: Path, texts: list[str], pairs: int, effort: float) -> FinetuneRetrievalOptions:
    """Recipe of the demo's fine-tuning, on the columns ``texts``; other arguments as in :func:`pretraining`."""
    epochs = max(effort * FINETUNING_PAIRS / pairs, 0.05)
    return FinetuneRetrievalOptions(
        model=str(folder / "models" / "pretrained"),
        regions=str(folder / "regions" / "train"),
        validation=str(folder / "regions" / "validation"),
        out=str(folder / "models" / "retrieval"),
        text_columns=texts,
        contrastive_loss_weight=2.0,
        negatives=FinetuneNegativeOptions(hard_share=0.5, random_epochs=epochs / 8, rise_epochs=epochs / 4),
        training=TrainingOptions(
            epochs=epochs,
            batch_size=32,
            learning_rate=3e-5,
            ema_decay=0.99,
            validations_per_epoch=min(_VALIDATIONS, max(1, round(_VALIDATIONS / epochs))),
            log_steps=max(1, round(effort * 5)),
        ),
    )
