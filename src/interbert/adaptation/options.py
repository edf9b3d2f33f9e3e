"""Options of ``interbert finetune backbone``; nothing heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass, field

from interbert.errors import ConfigError, require_range


@dataclass
class BackboneOptions:
    """Options of ``interbert finetune backbone``."""

    source: str
    """Images and texts to learn from: a file, a folder or a Hub id. Not what will be tested on."""
    out: str
    """Folder to write; give it to ``interbert extract --backbone``."""
    image_column: str | None = None
    """Column that holds the images; found when not given."""
    text_columns: list[str] = field(default_factory=list)
    """Columns that hold texts, one or several; found when not given."""
    columns: list[str] = field(default_factory=list)
    """Columns that say of what kind a product is (article, colour, use), by which the images are told, too; those of
    text with few different values when not given."""
    image_id_column: str | None = None
    """Column with an id that is unique per image; the row number when not given."""
    product_id_column: str | None = None
    """Column with an id that images of one product share; 'product_id', 'item_id' or 'id' when there is one."""
    split: str | None = None
    """Split of a Hub data set."""
    validation: str | None = None
    """Images and texts to judge by; a share of the source is held out when not given."""
    validation_share: float = 0.04
    """Share of images held out when there is no validation source."""
    validation_limit: int = 500
    """At most so many validation images: a sample by seed, whole products, each kind of them in proportion."""
    limit: int = 20_000
    """At most so many images to learn from, drawn at random; each takes 70 kB of disk while it learns."""
    init_from: str = "minilm"
    """BERT whose text vectors teach: minilm (inside a package), a directory, or a Hub id."""
    input_size: int = 192
    """Long side of what the backbone sees, in pixels, a multiple of 32; extract with the same."""
    epochs: int = 6
    """Passes over the images."""
    batch_size: int = 128
    """Images per step."""
    learning_rate: float = 3e-4
    """Peak learning rate of the backbone's upper layers."""
    head_epochs: int = 30
    """Passes of the heads alone before that, on vectors computed once."""
    head_learning_rate: float = 5e-4
    """Peak learning rate of the heads while the backbone learns."""
    weight_decay: float = 0.05
    """Decay of weights; biases have none."""
    dropout: float = 0.3
    """Share of features, text vectors and words that is left out."""
    smallest_crop: float = 0.8
    """Shortest side of a random crop, as a share of the image's; 1 does not crop."""
    column_loss_weight: float = 0.3
    """What telling the columns' values counts beside telling the texts; 0 leaves the columns unread."""
    more_texts: int = 2048
    """Further texts that each image is told from."""
    more_images: int = 2048
    """Images of the steps before that each text is told from."""
    ema_decay: float = 0.995
    """Weights are averaged with this decay, and the average is what is kept."""
    seed: int = 0
    """Seed of order, crops and dropout."""

    def __post_init__(self) -> None:
        require_range("validation_share", self.validation_share, 0, 0.5)
        for name in ("validation_limit", "limit", "epochs", "head_epochs"):
            require_range(name, getattr(self, name), 1)
        for name in ("column_loss_weight", "more_texts", "more_images", "weight_decay"):
            require_range(name, getattr(self, name), 0)
        require_range("batch_size", self.batch_size, 2)
        require_range("dropout", self.dropout, 0, 1)
        require_range("ema_decay", self.ema_decay, 0, 1)
        if not 0.2 <= self.smallest_crop <= 1:
            raise ConfigError(f"smallest_crop must be from 0.2 to 1, not {self.smallest_crop}.")
        for name in ("learning_rate", "head_learning_rate"):
            require_range(name, getattr(self, name), 1e-8)
