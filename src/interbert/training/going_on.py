"""Pretraining that goes on from a pretrained InterBERT: with other data, or with harder data after easier."""

from __future__ import annotations

from pathlib import Path

from interbert.checkpoints.bert import FillReport, bert_names
from interbert.checkpoints.directory import load_pretraining_model, load_processor, require_interbert
from interbert.errors import CheckpointError, ConfigError
from interbert.model.modeling import InterBertForPreTraining
from interbert.model.processing import InterBertProcessor
from interbert.regions.schema import ExtractorInfo, RegionReader
from interbert.training.options import ModelOptions, PretrainOptions


def goes_on(source: str) -> bool:
    """Whether ``init_from`` is a directory of an InterBERT; all else is a BERT's."""
    if not Path(source, "config.json").is_file():
        return False
    try:
        require_interbert(source)
    except CheckpointError:
        return False
    return True


def pretrained_processor(options: PretrainOptions, store: RegionReader) -> InterBertProcessor:
    """Tokenizer and region scaling of the model that goes on, both as they are.

    Raises:
        CheckpointError: the directory is damaged.
        StoreError: the regions were made by another extractor than the model's.
    """
    processor = load_processor(options.init_from)
    store.require(ExtractorInfo.from_dict(processor.extractor_info))
    processor.max_text_tokens = options.max_text_tokens
    return processor


def pretrained_model(options: PretrainOptions) -> tuple[InterBertForPreTraining, FillReport, frozenset[str]]:
    """The model that goes on, what filled it, and the names of what a BERT filled in the beginning.

    Raises:
        CheckpointError: the directory is damaged, or ``model.config_overrides`` does not fit its weights.
        ConfigError: other options of the model are given, which are settled.
    """
    settled, given = ModelOptions(), options.model
    for name in vars(settled):
        if name != "config_overrides" and getattr(given, name) != getattr(settled, name):
            raise ConfigError(
                f"model.{name}: {options.init_from} is an InterBERT that goes on as it is. Leave the option out, or "
                "change its configuration by model.config_overrides."
            )
    model = load_pretraining_model(options.init_from, **given.config_overrides)
    names = tuple(model.state_dict())
    report = FillReport(options.init_from, names, (), model.config.vocab_size)
    return model, report, frozenset(bert_names(model.config, has_lm_head=True))
