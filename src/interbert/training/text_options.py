"""Options of pretraining on texts alone. Nothing heavy is imported, so ``interbert pretrain text --help`` is quick."""

from __future__ import annotations

from dataclasses import dataclass, field

from interbert.errors import ConfigError, require_range
from interbert.training.options import TextMaskingOptions, TrainingOptions


@dataclass
class TextModelOptions:
    """Size of the BERT. The defaults are a mini one's, which `recipes/pretrain_chinese_mini.yaml` starts from."""

    hidden_size: int = 384
    """Width of the hidden states."""
    num_layers: int = 6
    """Layers; InterBERT's interaction layers take the first half, its text layers the second."""
    num_attention_heads: int = 12
    """Attention heads; hidden_size is a multiple of them."""
    intermediate_size: int = 1536
    """Width of the feed-forward layers."""
    max_position_embeddings: int = 128
    """Longest text that the model can ever read, in tokens."""
    dropout: float = 0.1
    """Hidden dropout."""
    attention_dropout: float = 0.0
    """Attention dropout."""
    initializer_range: float = 0.02
    """Standard deviation of the random weights that it starts from, and the model that it fills, where the BERT fills
    nothing. Of a width below 384, one over the root of the width learns sooner which word means which region."""

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_layers", "num_attention_heads", "intermediate_size"):
            require_range(f"model.{name}", getattr(self, name), 1)
        require_range("model.max_position_embeddings", self.max_position_embeddings, 3)
        for name in ("dropout", "attention_dropout"):
            require_range(f"model.{name}", getattr(self, name), 0, 1)
        require_range("model.initializer_range", self.initializer_range, 1e-4, 1)
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"model.hidden_size {self.hidden_size} is no multiple of model.num_attention_heads "
                f"{self.num_attention_heads}."
            )


@dataclass
class PretrainTextOptions:
    """Options of ``interbert pretrain text``."""

    source: str
    """Texts: a .txt file with a text a line, or a column of a .jsonl, .csv, .tsv or .parquet file (each but parquet
    with .gz too); with * in its name, all files that fit."""
    out: str
    """BERT directory to write, which `interbert pretrain --init-from` takes."""
    more_sources: list[str] = field(default_factory=list)
    """Further files of texts, such as queries."""
    text_columns: list[str] = field(default_factory=list)
    """Columns of texts; the first of title, title_zh, text, query, caption and name when not given."""
    validation: str | None = None
    """Texts to validate on; a share of the texts is held out when not given."""
    validation_share: float = 0.02
    """Share of texts held out when there are none to validate on."""
    validation_limit: int = 2000
    """At most so many validation texts."""
    vocabulary: str | None = None
    """A vocab.txt, a tokenizer's directory or a BERT's Hub id; a vocabulary is learnt from the texts when not given."""
    vocabulary_size: int = 8000
    """Tokens of a vocabulary that is learnt, at most."""
    max_text_tokens: int = 36
    """Longer texts are cut."""
    model: TextModelOptions = field(default_factory=TextModelOptions)
    """Model."""
    masking: TextMaskingOptions = field(default_factory=TextMaskingOptions)
    """Masking."""
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(epochs=10, batch_size=128, learning_rate=5e-4, ema_decay=0.999)
    )
    """Training; pairs are texts here."""

    def __post_init__(self) -> None:
        if not 0 < self.validation_share < 1:
            raise ConfigError(f"validation_share must be above 0 and below 1, not {self.validation_share}.")
        require_range("validation_limit", self.validation_limit, 1)
        require_range("vocabulary_size", self.vocabulary_size, 200)
        require_range("max_text_tokens", self.max_text_tokens, 3)
        if self.max_text_tokens > self.model.max_position_embeddings:
            raise ConfigError(
                f"max_text_tokens {self.max_text_tokens} is more than the {self.model.max_position_embeddings} "
                "positions of model.max_position_embeddings."
            )
