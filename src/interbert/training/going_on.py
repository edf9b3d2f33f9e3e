"""Pretraining that goes on from a pretrained InterBERT: with other data, or with harder data after easier."""

from __future__ import annotations

from pathlib import Path

from interbert.checkpoints.bert import FillReport, bert_names
from interbert.checkpoints.directory import load_pretraining_model, load_processor, model_type, require_interbert
from interbert.errors import CheckpointError, ConfigError
from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import InterBertForPreTraining
from interbert.model.processing import InterBertProcessor
from interbert.regions.schema import ExtractorInfo, RegionReader
from interbert.training.options import ModelOptions, PretrainOptions


def goes_on(source: str) -> bool:
    """Whether ``init_from`` is a directory of an InterBERT; all else is a BERT's.

    Raises:
        CheckpointError: its settings are damaged, or it is an InterBERT that asks for code or files outside itself.
    """
    config = Path(source, "config.json")
    if not config.is_file():
        return False
    if model_type(config) != "interbert":
        return False
    require_interbert(source)
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


def pretrained_model(
    options: PretrainOptions, store: RegionReader
) -> tuple[InterBertForPreTraining, FillReport, frozenset[str]]:
    """The model that goes on, what filled it, and the names of what a BERT filled in the beginning.

    Raises:
        CheckpointError: the directory is damaged, or ``model.config_overrides`` does not fit its weights.
        ConfigError: other options of the model are given, which are settled; or texts are longer than it has positions.
    """
    settled, given = ModelOptions(), options.model
    for name in vars(settled):
        if name != "config_overrides" and getattr(given, name) != getattr(settled, name):
            raise ConfigError(
                f"model.{name}: {options.init_from} is an InterBERT that goes on as it is. Leave the option out, or "
                "change its configuration by model.config_overrides."
            )
    model = load_pretraining_model(options.init_from, **given.config_overrides)
    _require_sizes(options, model.config, store.info)
    names = tuple(model.state_dict())
    report = FillReport(options.init_from, names, (), model.config.vocab_size)
    return model, report, frozenset(bert_names(model.config, has_lm_head=True))


def _require_sizes(options: PretrainOptions, config: InterBertConfig, info: ExtractorInfo) -> None:
    """Check that the model's settings are those of its own processor, which names the extractor, and of the texts.

    Raises:
        CheckpointError: regions have other sizes.
        ConfigError: there are too few positions.
    """
    classes = config.num_region_classes if config.region_objective == "classify" else info.num_classes
    if (config.region_feature_size, classes) != (info.feature_size, info.num_classes):
        raise CheckpointError(
            f"{options.init_from}: is a model of regions with {config.region_feature_size} numbers and {classes} "
            f"classes, but those of its extractor have {info.feature_size} and {info.num_classes or 'no'}: config.json "
            "and processor_config.json are not of one model. Restore them."
        )
    if options.max_text_tokens > config.max_position_embeddings:
        raise ConfigError(
            f"max_text_tokens {options.max_text_tokens} is more than the {config.max_position_embeddings} positions "
            f"of {options.init_from}."
        )
