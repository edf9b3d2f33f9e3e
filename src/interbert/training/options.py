"""Options of training runs, each written once with its unit: the help texts and the recipes come from here.

Nothing heavy is imported, so ``interbert pretrain --help`` is quick.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, TypedDict

from interbert.errors import ConfigError, require_range


@dataclass
class TrainingOptions:
    """How long, how fast and how often."""

    epochs: float = 10.0
    """Passes over the pairs."""
    max_steps: int = -1
    """Stop after so many steps, if the epochs last longer; -1 trains all epochs."""
    min_steps: int = 0
    """Make at least so many steps: of few pairs the passes are repeated, and all that is counted in epochs (negatives,
    validations) is stretched alike. 0 makes the epochs as they are."""
    batch_size: int = 64
    """Pairs per step and process."""
    gradient_accumulation: int = 1
    """Batches per optimizer step."""
    learning_rate: float = 1e-4
    """Peak learning rate."""
    bert_learning_rate_scale: float = 1.0
    """Learning rate of what a BERT filled, as a share of the peak (the paper's recipe: 0.1)."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises."""
    schedule: Literal["linear", "cosine", "step"] = "linear"
    """How the learning rate falls: to zero (linear, cosine), or by ten at 60% and at 80% of the steps (step)."""
    weight_decay: float = 0.01
    """Decay of weights; biases and LayerNorms have none."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this norm over all parameters."""
    ema_decay: float | None = None
    """Average weights with at most this decay, warmed up as min(decay, (1+n)/(10+n)), and judge the average."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where the CPU or GPU multiplies it in hardware."""
    seed: int = 0
    """Seed of weights, order, masks and negatives."""
    validations_per_epoch: int = 1
    """How often to validate and save."""
    log_steps: int = 20
    """Steps between log lines."""
    workers: int = 0
    """Processes that prepare batches; 0 prepares them in the training process."""
    compile: bool = False
    """Compile the model with torch.compile: worth its first minutes in long runs on a GPU, and nothing on a CPU."""
    shard: bool = False
    """Share weights, gradients and optimizer state out between the processes (FSDP2), for models that a device cannot
    hold; without it each process holds all of them. One process alone is not changed by it."""
    reference_quirks: bool = False
    """Optimize as the published code does, to repeat its runs: Adam without bias correction, each parameter's gradient
    clipped by itself, weight decay on biases and LayerNorms instead of the weights."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "gradient_accumulation", "validations_per_epoch", "log_steps"):
            require_range(f"training.{name}", getattr(self, name), 1)
        for name in ("epochs", "learning_rate", "max_grad_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"training.{name} must be above 0, not {getattr(self, name)}.")
        for name in ("bert_learning_rate_scale", "weight_decay", "workers", "min_steps"):
            require_range(f"training.{name}", getattr(self, name), 0)
        for name in ("ema_decay", "warmup"):
            require_range(f"training.{name}", getattr(self, name), 0, 1)
        if self.shard and self.reference_quirks:
            raise ConfigError("training.shard does not go with training.reference_quirks. Turn one of them off.")
        require_range("training.seed", self.seed, 0, 2**32)
        if self.max_steps != -1:
            require_range("training.max_steps", self.max_steps, 1)


class ConfigOverrides(TypedDict, total=False):
    """Values of :class:`~interbert.model.configuration.InterBertConfig` that no recipe but an ablation changes."""

    num_interaction_layers: int
    num_text_layers: int
    num_image_layers: int
    image_num_attention_heads: int
    image_intermediate_size: int
    fusion: Literal["mul", "sum"]
    region_objective: Literal["classify", "regress"]
    contrastive_lexical: bool
    contrastive_skip_size: int | None
    lm_loss_on_mismatched: bool
    region_loss_weight: float
    matching_loss_weight: float
    contrastive_loss_weight: float


@dataclass
class ModelOptions:
    """What the BERT does not decide of the model's configuration."""

    pooler_size: int = 384
    """Width of the pooled vectors."""
    contrastive_size: int | None = 384
    """Width of the dual encoder's vectors; null trains no dual encoder."""
    dropout: float = 0.1
    """Hidden dropout of text, joint and image layers."""
    region_dropout: float = 0.0
    """Dropout on the region features; few images are learnt by heart without it."""
    attention_dropout: float = 0.0
    """Attention dropout."""
    lm_loss_weight: float = 1.0
    """Weight of masked segment modeling; the other objectives have 1."""
    config_overrides: ConfigOverrides = field(default_factory=lambda: ConfigOverrides())
    """Further values of the model's configuration (docs/model.md), such as '{num_image_layers: 4, fusion: sum}'."""

    def __post_init__(self) -> None:
        for name in ("pooler_size", "contrastive_size"):
            require_range(f"model.{name}", getattr(self, name), 1)
        for name in ("dropout", "region_dropout", "attention_dropout"):
            require_range(f"model.{name}", getattr(self, name), 0, 1)
        require_range("model.lm_loss_weight", self.lm_loss_weight, 0)
        unknown = sorted(set(self.config_overrides) - set(ConfigOverrides.__annotations__))
        if unknown:
            known = ", ".join(ConfigOverrides.__annotations__)
            raise ConfigError(f"model.config_overrides has no {unknown[0]!r}. It takes: {known}.")


@dataclass
class TextMaskingOptions:
    """What is hidden of a text (docs/model.md, part 3)."""

    text: Literal["segment", "token"] = "segment"
    """Contiguous segments (the paper's) or single tokens."""
    text_max_share: float | None = 0.5
    """Longest segment as a share of the text; null is the plain law."""
    token_share: float = 0.15
    """Share of the tokens that are hidden when they are single ones."""

    def __post_init__(self) -> None:
        if not 0 < self.token_share <= 1:
            raise ConfigError(f"masking.token_share must be above 0 and at most 1, not {self.token_share}.")
        if self.text_max_share is not None and not 0 < self.text_max_share <= 1:
            raise ConfigError(f"masking.text_max_share must be above 0 and at most 1, not {self.text_max_share}.")


@dataclass
class MaskingOptions(TextMaskingOptions):
    """What is hidden in pretraining (docs/model.md, part 3)."""

    regions: Literal["iou", "plain"] = "iou"
    """Anchors with what overlaps them (the paper's) or single regions."""


@dataclass
class WarmStartOptions:
    """Stages before pretraining that teach the image side from the BERT's text vectors; 0 and 0 epochs leave it out."""

    head_epochs: int = 30
    """Passes over one vector an image: region embedding, poolers and projections. A minute for 25,000 pairs."""
    epochs: int = 10
    """Passes of the image side against the text side as it is."""
    learning_rate: float = 2e-3
    """Peak learning rate of both."""
    batch_size: int = 1024
    """Pairs per step; each is contrasted with all others. Never more than an eighth of the pairs."""
    dropout: float = 0.3
    """Dropout on region features, beside model.region_dropout, and on text vectors; more for few images."""

    def __post_init__(self) -> None:
        require_range("warm_start.batch_size", self.batch_size, 2)
        if min(self.head_epochs, self.epochs) < 0:
            raise ConfigError("warm_start.head_epochs and warm_start.epochs must not be negative.")
        if self.learning_rate <= 0:
            raise ConfigError(f"warm_start.learning_rate must be above 0, not {self.learning_rate}.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"warm_start.dropout must be at least 0 and below 1, not {self.dropout}.")


@dataclass
class NegativeOptions:
    """Which wrong captions and images a pair is shown, and when."""

    hard_share: float = 0.5
    """Largest share of hard ones."""
    random_epochs: float = 1.0
    """Epochs with random ones only: hard ones from the first step keep the matching head at chance."""
    rise_epochs: float = 1.0
    """Epochs in which the share of hard ones then rises to its largest."""
    near_same: float | None = 0.9
    """Texts with so much of their words in common are no negatives of each other; null spares identical ones only."""

    def __post_init__(self) -> None:
        require_range("negatives.random_epochs", self.random_epochs, 0)
        require_range("negatives.rise_epochs", self.rise_epochs, 0)
        if self.near_same is not None and not 0 < self.near_same <= 1:
            raise ConfigError(f"negatives.near_same must be above 0 and at most 1, not {self.near_same}.")
        if not 0 <= self.hard_share <= 1:
            raise ConfigError(f"negatives.hard_share must be between 0 and 1, not {self.hard_share}.")


@dataclass
class FinetuneNegativeOptions(NegativeOptions):
    """Which wrong captions and images a pair is shown in fine-tuning, and when."""

    hard_share: float = 0.7
    """Largest share of hard ones."""
    random_epochs: float = 0.2
    """Epochs with random ones only: hard ones from the first step keep the matching head at chance."""
    rise_epochs: float = 0.3
    """Epochs in which the share of hard ones then rises to its largest."""
    mine: Literal["neighbours", "model", "batch", "judged"] = "model"
    """Hard ones: TF-IDF and image neighbours; the dual encoder's nearest when fine-tuning starts (model); its
    nearest within each batch as it learns (batch); or what --qrels grades 0 (judged)."""


@dataclass
class PretrainOptions:
    """Options of ``interbert pretrain``."""

    regions: str
    """Region store to train on."""
    out: str
    """Model directory to write."""
    more_regions: dict[str, float] = field(default_factory=dict)
    """Further stores of the same extractor, and how often an epoch visits their pairs: 1 once, 2 twice; with 0.5 every
    epoch draws half of them, anew."""
    validation: str | None = None
    """Region store to validate on; a share of the training images is held out when not given."""
    validation_share: float | None = None
    """Share of images held out when there is no validation store; when not given 0.05, of fewer than 4,000 images more:
    200 of them, at most a fifth."""
    validation_limit: int = 500
    """At most so many validation images: a sample by training.seed, whole products."""
    text_columns: list[str] = field(default_factory=list)
    """Source columns whose texts to use; all when not given."""
    init_from: str = "minilm"
    """BERT to start from: minilm (offline), a directory or a Hub id; or the directory of a pretrained InterBERT, which
    goes on as it is."""
    warm_start: WarmStartOptions = field(default_factory=WarmStartOptions)
    """Let the image side and the heads learn from the BERT before all train together (ours; the paper has none)."""
    max_text_tokens: int = 36
    """Longer texts are cut."""
    model: ModelOptions = field(default_factory=ModelOptions)
    """Model."""
    masking: MaskingOptions = field(default_factory=MaskingOptions)
    """Masking."""
    mismatched_share: float = 0.5
    """Share of the pairs that are shown with another image's caption, for matching."""
    negatives: NegativeOptions = field(default_factory=NegativeOptions)
    """Mismatched pairs."""
    training: TrainingOptions = field(default_factory=TrainingOptions)
    """Training."""

    def __post_init__(self) -> None:
        _check_validation(self.validation_share, self.validation_limit)
        _check_more(self.regions, self.more_regions)
        require_range("mismatched_share", self.mismatched_share, 0, 1)
        require_range("max_text_tokens", self.max_text_tokens, 3)


@dataclass
class FinetuneRetrievalOptions:
    """Options of ``interbert finetune retrieval``."""

    model: str
    """Pretrained model directory."""
    regions: str
    """Region store to train on, made by the model's extractor."""
    out: str
    """Model directory to write."""
    more_regions: dict[str, float] = field(default_factory=dict)
    """Further stores of the same extractor, and how often an epoch visits their pairs: 1 once, 2 twice; with 0.5 every
    epoch draws half of them, anew."""
    validation: str | None = None
    """Region store to validate on; a share of the training images is held out when not given."""
    validation_share: float | None = None
    """Share of images held out when there is no validation store; when not given 0.05, of fewer than 4,000 images more:
    200 of them, at most a fifth."""
    validation_limit: int = 500
    """At most so many validation images: a sample by training.seed, whole products."""
    text_columns: list[str] = field(default_factory=list)
    """Source columns whose texts to use; all when not given, or none beside qrels."""
    qrels: str | None = None
    """Judgements (query, product_id, grade in a .tsv, .csv or .jsonl file) to train on: each query with each product
    that is right for it, and none of them ever as its negative. With --text-columns on the store's texts too."""
    qrels_columns: list[str] = field(default_factory=list)
    """Columns of the query, the product and the grade, when they have other names."""
    query_texts: str | None = None
    """Texts of the queries that qrels names by id: BEIR's queries.jsonl, or a .tsv or .csv file of ids and texts."""
    min_grade: float | None = None
    """Products graded at least this are trained on, above 0 when not given; what is graded lower and above 0 is left
    out, as a negative too."""
    contrastive_loss_weight: float = 0.5
    """Weight of the contrast of separately encoded sides; 0 leaves it out."""
    dropout: float | None = None
    """Hidden dropout; the model's own when not given."""
    negatives: FinetuneNegativeOptions = field(default_factory=FinetuneNegativeOptions)
    """Wrong captions and images."""
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(epochs=4, batch_size=32, learning_rate=1e-4, ema_decay=0.9999)
    )
    """Training."""

    def __post_init__(self) -> None:
        _check_validation(self.validation_share, self.validation_limit)
        _check_more(self.regions, self.more_regions)
        if self.qrels is None and (self.qrels_columns or self.min_grade is not None or self.query_texts is not None):
            raise ConfigError("qrels_columns, query_texts and min_grade are about judgements. Give them with qrels.")
        if self.min_grade is not None and not self.min_grade > 0:
            raise ConfigError(f"min_grade must be above 0, not {self.min_grade}: grade 0 means wrong.")
        if self.qrels is not None and self.more_regions:
            raise ConfigError("qrels name the products of one store. Leave more_regions out.")
        if self.negatives.mine == "judged" and self.qrels is None:
            raise ConfigError("negatives.mine 'judged' takes what judgements grade 0. Give them with qrels.")
        require_range("dropout", self.dropout, 0, 1)
        require_range("contrastive_loss_weight", self.contrastive_loss_weight, 0)


@dataclass
class FinetuneClassificationOptions:
    """Options of ``interbert finetune classification``."""

    model: str
    """Model directory to start from; or a BERT (minilm, a directory, a Hub id), for texts."""
    source: str
    """Items to train on: a parquet, csv or jsonl file, a folder of images with a table, or a Hub id."""
    out: str
    """Model directory to write."""
    validation: str | None = None
    """Items to validate on; a share of the training items is held out when not given."""
    validation_share: float | None = None
    """Share of items held out when there is no validation source; when not given 0.1, of fewer than 2,000 items more:
    200 of them, at most a fifth."""
    text: str | None = None
    """Column with the text; none classifies images alone."""
    image_column: str | None = None
    """Column with the image; none classifies texts alone."""
    label: str = "label"
    """Column with the label."""
    max_text_tokens: int = 128
    """Longer texts are cut."""
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(
            epochs=8,
            min_steps=100,
            batch_size=32,
            learning_rate=5e-4,
            bert_learning_rate_scale=0.3,
            ema_decay=0.99,
        )
    )
    """Training."""

    def __post_init__(self) -> None:
        _check_validation(self.validation_share, 1)
        require_range("max_text_tokens", self.max_text_tokens, 3)
        if self.text is None and self.image_column is None:
            raise ConfigError("name the column with the text (--text), with the image (--image-column), or both.")


def _check_validation(share: float | None, limit: int) -> None:
    if share is not None and not 0 < share < 1:
        raise ConfigError(f"validation_share must be above 0 and below 1, not {share}.")
    require_range("validation_limit", limit, 1)


def _check_more(regions: str, more: dict[str, float]) -> None:
    for path, visits in more.items():
        if path == regions:
            raise ConfigError(f"more_regions: names {path} again.")
        if not 0 < visits < math.inf:
            raise ConfigError(f"more_regions.{path} must be above 0, not {visits}.")
