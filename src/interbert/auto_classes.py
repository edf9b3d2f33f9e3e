"""What ``import interbert`` connects: the Auto classes of transformers, and processors with region extractors.

Everything heavy is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMultipleChoice,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoProcessor,
)

from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import InterBertForPreTraining
from interbert.model.pair_scoring import InterBertForPairScoring
from interbert.model.processing import InterBertProcessor
from interbert.model.region_inputs import RegionMaker, RegionsLike, wire_regions
from interbert.model.tasks import InterBertForMultipleChoice, InterBertForSequenceClassification
from interbert.model.trunk import InterBertModel

_CHUNK = 64
"""Images that are decoded at a time, at most."""


def connect() -> None:
    """Register the models and wire region extraction; safe to repeat."""
    AutoConfig.register(InterBertConfig.model_type, InterBertConfig, exist_ok=True)
    AutoModel.register(InterBertConfig, InterBertModel, exist_ok=True)
    AutoModelForPreTraining.register(InterBertConfig, InterBertForPreTraining, exist_ok=True)
    AutoModelForMultipleChoice.register(InterBertConfig, InterBertForMultipleChoice, exist_ok=True)
    # the one that a directory's architectures name, else the first
    scorers = (InterBertForSequenceClassification, InterBertForPairScoring)
    AutoModelForSequenceClassification.register(InterBertConfig, scorers, exist_ok=True)
    AutoProcessor.register(InterBertConfig, InterBertProcessor, exist_ok=True)
    wire_regions(region_maker)


def region_maker(info: Mapping[str, Any], folder: str | Path | None = None) -> RegionMaker:
    """Images to regions, by the extractor that a model directory describes.

    Raises:
        ConfigError: such regions cannot be made here (they were imported).
    """
    from interbert.extraction.extractor import build_extractor
    from interbert.extraction.images import as_image, in_chunks

    extractor = build_extractor(info, folder)

    def make(images: Sequence[Any]) -> Sequence[RegionsLike]:
        opened = (as_image(one, f"image {place}") for place, one in enumerate(images))
        return [regions for chunk in in_chunks(opened, _CHUNK, lambda one: one) for regions in extractor.extract(chunk)]

    return make
