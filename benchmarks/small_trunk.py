"""A small trunk that learns from drawn scenes, in minutes on two cores, which word means which region.

Many steps matter more here than many weights (results/composition.md): a BERT of the captions first, whose layers the
model starts from, then masked words of true pairs beside matching against random ones.
"""

from __future__ import annotations

from pathlib import Path

from interbert.training.options import ConfigOverrides, ModelOptions, TextMaskingOptions, TrainingOptions
from interbert.training.text_options import PretrainTextOptions, TextModelOptions

WIDTH = 128
_HEADS, _INTERACTION = 4, 4
_VOCABULARY = 400


def text_training(
    source: Path,
    out: Path,
    seed: int,
    validation: Path | None = None,
    trained: bool = True,
    layers: int = _INTERACTION + 1,
    vocabulary_size: int = _VOCABULARY,
    wide: bool = False,
) -> PretrainTextOptions:
    """The BERT of the captions.

    Args:
        source: file of texts.
        out: its directory.
        seed: of weights and order.
        validation: texts to validate on; a share is held out when not given.
        trained: or all but random, for its vocabulary and sizes alone: what guesses words from words learns no more
            from where regions are (results/composition.md). Its weights vary as its width asks for.
        layers: those of interaction and of text together.
        vocabulary_size: of word pieces at most.
        wide: let its weights, and those of the model that starts from it, vary as its width asks for: with 0.02 the
            product of two pooled vectors is so small that matching learns nothing.
    """
    return PretrainTextOptions(
        source=str(source),
        out=str(out),
        validation=None if validation is None else str(validation),
        vocabulary_size=vocabulary_size,
        model=TextModelOptions(
            hidden_size=WIDTH,
            num_layers=layers,
            num_attention_heads=_HEADS,
            intermediate_size=4 * WIDTH,
            dropout=0.0,
            initializer_range=WIDTH**-0.5 if wide or not trained else 0.02,
        ),
        masking=TextMaskingOptions(text="token"),
        training=TrainingOptions(
            epochs=2, max_steps=-1 if trained else 1, batch_size=128, learning_rate=1e-3 if trained else 1e-9, seed=seed
        ),
    )


def model_options(contrastive_size: int | None, contrastive_loss_weight: float = 1.0) -> ModelOptions:
    """The model that starts from it.

    Args:
        contrastive_size: of the dual encoder; None has none.
        contrastive_loss_weight: of its contrast.
    """
    overrides: ConfigOverrides = {
        "num_interaction_layers": _INTERACTION,
        "num_text_layers": 1,
        "num_image_layers": 1,
        "image_num_attention_heads": _HEADS,
        "image_intermediate_size": 4 * WIDTH,
        "lm_loss_on_mismatched": False,
        # ImageNet's classes of drawings say little, and their loss would be most of the clipped gradient
        "region_loss_weight": 0.05,
        "contrastive_loss_weight": contrastive_loss_weight,
    }
    return ModelOptions(
        pooler_size=WIDTH,
        contrastive_size=contrastive_size,
        dropout=0.0,
        config_overrides=overrides,
    )
