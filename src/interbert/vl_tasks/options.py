"""Options of fine-tuning, evaluation and prediction of vision-and-language tasks, each written once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from interbert.errors import ConfigError, require_range
from interbert.training.options import TrainingOptions


def _training() -> TrainingOptions:
    return TrainingOptions(epochs=5, batch_size=32, learning_rate=5e-5, ema_decay=0.9999)


@dataclass
class FinetuneTaskOptions:
    """Options of ``interbert finetune TASK``."""

    model: str
    """Model directory to start from."""
    source: str
    """Official file of the training split; of RefCOCO and Flickr30K Entities the folder."""
    out: str
    """Model directory to write."""
    annotations: str | None = None
    """Second file of the training split: VQA's annotations; of VCR the folder of the images' metadata."""
    split: str | None = None
    """Split to train on, of files that hold several."""
    validation: str | None = None
    """Official file to validate on; when not given, the validation split of the same folder, or a held-out share."""
    validation_annotations: str | None = None
    """Second file of the validation split; of VCR the training's when not given."""
    validation_split: str | None = None
    """Split to validate on, of files that hold several."""
    validation_share: float = 0.05
    """Share of the training images (of NLVR2: directories) that is held out when nothing else is validated on."""
    validation_limit: int = 5000
    """At most so many validation examples: a sample of whole images by training.seed."""
    regions: list[str] = field(default_factory=list)
    """Region stores of the images, by image id (interbert extract, interbert import)."""
    given_regions: list[str] = field(default_factory=list)
    """Region stores at the boxes that the official files give, by image id."""
    images: str | None = None
    """Folder of the images, to extract into OUT.regions with the model's own extractor instead."""
    boxes: Literal["detected", "given", "both"] | None = None
    """Regions to read: the extractor's, those at the boxes of the official files, or both; as usual for the task when
    not given (VCR both, RefCOCO given, the others detected)."""
    max_regions: int = 100
    """The first so many of an image are read, given ones before detected ones."""
    max_text_tokens: int | None = None
    """Longer texts are cut; as usual for the task when not given."""
    labels: str | None = None
    """JSON list of the answers to choose from, such as VQA's 3,129; the training answers when not given."""
    min_answers: int = 1
    """Answers that are right for fewer training examples are left out when there is no --labels (VQA: usually 9)."""
    arrangement: Literal["pair", "pair_attention"] = "pair"
    """Of two images: compare the fused vectors of the sentence with each, or let all tokens of the two attend to each
    other."""
    text_only: bool = False
    """Read no image: what the texts alone give away."""
    skip_missing: bool = False
    """Train without examples whose images are missing, instead of stopping."""
    training: TrainingOptions = field(default_factory=_training)
    """Training."""

    def __post_init__(self) -> None:
        if not 0 < self.validation_share < 1:
            raise ConfigError(f"validation_share must be above 0 and below 1, not {self.validation_share}.")
        for name in ("validation_limit", "max_regions", "min_answers"):
            require_range(name, getattr(self, name), 1)
        require_range("max_text_tokens", self.max_text_tokens, 3)
        require_stores(self)


@dataclass
class FinetuneMultitaskOptions:
    """Options of ``interbert finetune multitask``."""

    model: str
    """Model directory to start from."""
    out: str
    """Model directory to write."""
    tasks: list[str] = field(default_factory=list)
    """Tasks and their recipes, such as vqa=vqa.yaml,nlvr2=nlvr2.yaml; a recipe has the options of finetune TASK but the
    model, the output and the training."""
    training: TrainingOptions = field(default_factory=_training)
    """Training; an epoch visits every example of every task once."""

    def __post_init__(self) -> None:
        if len(self.recipes()) < 2:
            raise ConfigError("name two tasks or more: --tasks vqa=vqa.yaml,nlvr2=nlvr2.yaml")

    def recipes(self) -> dict[str, str]:
        """Recipe of each task.

        Raises:
            ConfigError: one is not named as TASK=RECIPE, or a task stands twice.
        """
        found: dict[str, str] = {}
        for one in self.tasks:
            name, equals, path = one.partition("=")
            if not equals or not path or name in found:
                raise ConfigError(f"--tasks: {one!r} is no TASK=RECIPE, or its task stands twice.")
            found[name] = path
        return found


@dataclass
class EvaluateTaskOptions:
    """Options of ``interbert evaluate TASK``."""

    model: str
    """Model directory that was fine-tuned for the task."""
    source: str
    """Official file of the split; of RefCOCO and Flickr30K Entities the folder."""
    annotations: str | None = None
    """Second file of the split: VQA's annotations; of VCR the folder of the images' metadata."""
    split: str | None = None
    """Split to evaluate, of files that hold several."""
    regions: list[str] = field(default_factory=list)
    """Region stores of the images, by image id."""
    given_regions: list[str] = field(default_factory=list)
    """Region stores at the boxes that the official files give, by image id."""
    images: str | None = None
    """Folder of the images, to extract into MODEL.regions with the model's own extractor instead."""
    boxes: Literal["detected", "given", "both"] | None = None
    """Regions to read; those that the model was trained on when not given."""
    predictions: str | None = None
    """File to write in the form that the task's organisers take; of a blind test there is nothing else."""
    json: bool = False
    """Print one JSON object alone."""
    text_only: bool = False
    """Control: read no image."""
    image_control: Literal["none", "mean"] = "none"
    """Control: mean reads the mean image in the place of every image."""
    skip_missing: bool = False
    """Evaluate without examples whose images are missing, instead of stopping; the result says how many."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where the CPU or GPU multiplies it in hardware."""
    bootstrap: int = 1000
    """Resamplings for the 95% intervals."""
    seed: int = 0
    """Seed of the resampling."""

    def __post_init__(self) -> None:
        require_range("evaluate: --bootstrap", self.bootstrap, 0)
        require_range("evaluate: --seed", self.seed, 0, 2**32)
        if self.text_only and self.image_control != "none":
            raise ConfigError("--text-only reads no image and --image-control the mean one. Give one of them.")
        require_stores(self)


PREDICTION_FILES = (".jsonl", ".csv", ".parquet")


@dataclass
class PredictOptions:
    """Options of ``interbert predict``."""

    model: str
    """Model directory: a classifier, or a model that was fine-tuned for a vision-and-language task."""
    source: str
    """Table to predict: a csv, jsonl or parquet file."""
    out: str
    """File to write, its ending says the form: .jsonl, .csv or .parquet."""
    task: str | None = None
    """Of a model of several tasks, which of them."""
    id_column: str | None = None
    """Column with an id of each row; rows are counted from 0 when not given."""
    text: str | None = None
    """Column with the text, question or expression; as in training, or ``text`` when not given."""
    second_text: str | None = None
    """Column with the second part of a text."""
    choices_column: str | None = None
    """Column with the texts to choose from, a list or JSON text of one (VCR)."""
    image_column: list[str] = field(default_factory=list)
    """Column with the image's file; or, with --regions or --images, with its id; two columns of a task of two images.
    As in training, or ``image`` when not given."""
    boxes_column: str | None = None
    """Column with boxes of the image, x1, y1, x2, y2 in pixels, a list or JSON text of one, for a model that reads
    given boxes."""
    regions: list[str] = field(default_factory=list)
    """Region stores of the images, by image id."""
    given_regions: list[str] = field(default_factory=list)
    """Region stores at given boxes, by image id."""
    images: str | None = None
    """Folder of images that the image column names, to extract with the model's own extractor into OUT.regions."""
    skip_missing: bool = False
    """Leave rows out whose images are missing, instead of stopping."""
    top: int = 10
    """At most so many answers a row, the most probable first."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where the CPU or GPU multiplies it in hardware."""

    def __post_init__(self) -> None:
        require_range("predict: --top", self.top, 1)
        if not self.out.endswith(PREDICTION_FILES):
            raise ConfigError(f"{self.out}: name a file that ends in {', '.join(PREDICTION_FILES)}.")
        _require_one_place(self)


def require_stores(options: FinetuneTaskOptions | EvaluateTaskOptions) -> None:
    """Check that regions come from one place.

    Raises:
        ConfigError: from none, or from two.
    """
    _require_one_place(options)
    if not (options.regions or options.given_regions or options.images is not None or options.text_only):
        raise ConfigError("name the region stores (--regions, --given-regions), or the folder of the --images.")


def _require_one_place(options: FinetuneTaskOptions | EvaluateTaskOptions | PredictOptions) -> None:
    if options.images is not None and (options.regions or options.given_regions):
        raise ConfigError("--images are extracted into stores, and --regions name some. Give one of them.")
