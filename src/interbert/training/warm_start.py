"""Let an image side that has learnt nothing meet a text side that has, before they train together.

A BERT fills the text side alone (SPEC part 1). Trained together from there, an image's few thousand captions have to
teach the image side everything while its noise unteaches the text side. Two cheap stages come first, both a contrast
of separately encoded sides against the BERT's own text vectors, which are computed once:

1. *heads*: the region embedding, both poolers and projections, on one vector an image and one a text, as if the
   layers between them were not there. Seconds for ten thousand images.
2. *image side*: the same and the image layers, through the interaction layers as they are. The image layers start
   with residual branches of zero: they only normalise, and have only to add.

Both projections start as one orthonormal matrix and the matching head as equal weights: cosine and matching logit
start in about the same order (exactly when the projection is as wide as the pooler, up to the vectors' norms), and
what the contrast teaches is what the joint pass starts from.

Shapes: n texts, B batch, F region feature size, H hidden size.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from interbert.data.collation import image_tensors, text_tensors
from interbert.data.examples import PairData
from interbert.data.sampling import Cut, DrawnBatches
from interbert.errors import writing
from interbert.model.dropout import dropout
from interbert.model.modeling import BertLayer, ImageEmbeddings, InterBertForPreTraining
from interbert.model.region_inputs import GLOBAL_LOCATION
from interbert.model.scoring import autocast
from interbert.tasks.contrast import contrast
from interbert.tasks.retrieval import RetrievalTask
from interbert.training.arguments import CHECKPOINTS, cut_of, trainer_arguments, up_then_down
from interbert.training.options import TrainingOptions, WarmStartOptions
from interbert.training.run_setup import main_process
from interbert.training.stage import Stage, StageTask, train_stage
from interbert.utils.bounded_files import reading
from interbert.utils.files import replacing
from interbert.utils.row_file import Rows

WARM_START = "warm_start.safetensors"

_MOST_PAIRS = 100_000
"""A sample of so many pairs is enough."""
_PLACES_VARY = 0.25
"""Standard deviation of boxes' coordinates, as shares of the image's sides."""
_LEAST_STEPS = 8
"""Steps of a pass: of few pairs, smaller batches are made."""


@dataclass(frozen=True)
class WarmStartData:
    """What the stages learn from."""

    pairs: PairData
    pooled: Rows
    """[rows,F], the standardised mean region feature of every store row."""
    task: RetrievalTask
    """Whose pairs set the scale of the matching logits afterwards."""


def can_warm_start(model: InterBertForPreTraining, options: WarmStartOptions) -> bool:
    """Whether the options ask for it and there is a contrast to do it with."""
    contrast = model.config.contrastive_size is not None or model.config.fusion == "mul"
    return contrast and options.head_epochs + options.epochs > 0


def warm_start(
    model: InterBertForPreTraining, data: WarmStartData, options: WarmStartOptions, out: Path, bf16: bool
) -> None:
    """Teach the image side and the heads; a run that is continued takes what was learnt.

    Args:
        model: initialised from a BERT; is moved to the device to train on.
        data: pairs, and what is known of every image.
        options: how long.
        out: model directory; each stage, when done, is kept beside the checkpoints.
        bf16: compute in bf16.

    Raises:
        StorageError: a result cannot be written.
        TrainingError: a loss is not finite.
    """
    kept = out / CHECKPOINTS / WARM_START
    done = 0
    if kept.exists():
        with reading(kept, "Remove it, and the warm start begins anew."):
            done, learnt = _kept(kept)
            model.load_state_dict(learnt, strict=False)
    model.to(trainer_arguments(TrainingOptions(precision="fp32"), out, 1, report_to=[]).device)
    if done < len(_STAGES):
        if not done:
            _start_alike(model)
        pairs = np.random.default_rng(data.pairs.seed).permutation(len(data.pairs.table))[:_MOST_PAIRS]
        texts = cache(partial(_text_vectors, model, data.pairs, pairs, bf16))  # no stage changes the text side
        for number in range(done, len(_STAGES)):
            _train(model, data, options, number, out / CHECKPOINTS, bf16, pairs, texts)
            _keep(model, kept, number + 1)
    if done <= len(_STAGES):
        data.task.calibrate(model)
        _keep(model, kept, len(_STAGES) + 1)


@dataclass(frozen=True)
class _Part:
    title: str
    epochs: str
    """Option with its passes."""
    whole: bool
    """Through all layers, or the heads alone."""


_STAGES = (
    _Part("heads", "head_epochs", whole=False),
    _Part("image side", "epochs", whole=True),
)


def _train(
    model: InterBertForPreTraining,
    data: WarmStartData,
    options: WarmStartOptions,
    number: int,
    checkpoints: Path,
    bf16: bool,
    pairs: NDArray[np.int64],
    texts: Callable[[], Tensor],
) -> None:
    """One stage: AdamW, a tenth of the steps of warm-up, then down to zero."""
    stage, seed = _STAGES[number], data.pairs.seed
    epochs = getattr(options, stage.epochs)
    if not epochs:
        return
    training = TrainingOptions(
        epochs=epochs,
        learning_rate=options.learning_rate,
        precision="bf16" if bf16 else "fp32",
        seed=(seed + number) % 2**32,
    )
    cut = cut_of(training)
    if len(pairs) < max(2, cut.processes):
        return
    size = max(2, min(options.batch_size, len(pairs) // _LEAST_STEPS))
    size = max(1, size // cut.processes) * cut.processes
    training.batch_size = size // cut.processes
    task = _Contrast(data, texts(), options.dropout, stage.whole, model.config.pad_token_id)
    draw = partial(_draw, data.pairs, pairs, size, cut, (seed, number))
    batches = DrawnBatches(draw, len(pairs) // size, training.batch_size, cut.processes)
    named = Stage(f"warm start: {stage.title}", "warm_start.learning_rate", up_then_down, decay_all=True)
    chance = {"contrastive_loss": float(np.log(size))}
    trained = list(_trained(model).values())
    train_stage(model, trained, task, training, _folder(checkpoints, number), batches, named, chance)


def _folder(checkpoints: Path, number: int) -> Path:
    """Of a stage that is not done."""
    return checkpoints / f"warm_start_{number}"


def _kept(file: Path) -> tuple[int, dict[str, Tensor]]:
    """Stages that are done, and what they learnt.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            learnt = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            return int(opened.metadata()["stages"]), learnt
    except SafetensorError as error:  # the one error here that `reading` does not know
        raise ValueError(str(error)) from error


def _keep(model: InterBertForPreTraining, kept: Path, stages: int) -> None:
    """Write what was learnt so far; calibration counts as one more stage."""
    trained = {name: value.detach().cpu().contiguous() for name, value in _trained(model).items()}
    if main_process():
        with writing(kept):
            kept.parent.mkdir(parents=True, exist_ok=True)
        with replacing(kept) as part:
            save_file(trained, part, metadata={"stages": str(stages)})
        for number in range(stages):
            shutil.rmtree(_folder(kept.parent, number), ignore_errors=True)


def _trained(model: InterBertForPreTraining) -> dict[str, nn.Parameter]:
    """What the warm start may change: everything of the image side and the heads that the contrast reads."""
    ours = (
        "interbert.image_embeddings.",
        "interbert.encoder.image_layers.",
        "interbert.text_pooler.",
        "interbert.image_pooler.",
        "contrastive_head.",
        "matching_head.",
    )
    return {name: value for name, value in model.named_parameters() if name.startswith(ours)}


def _start_alike(model: InterBertForPreTraining) -> None:
    """Both sides are compared in one space: equal projections, equal weights, layers that only normalise."""
    with torch.no_grad():
        if model.config.contrastive_size is not None:
            head = model.contrastive_head
            nn.init.orthogonal_(head.text_projection.weight)
            head.image_projection.weight.copy_(head.text_projection.weight)
        if model.config.fusion == "mul":
            matching = model.matching_head
            matching.weight[0], matching.weight[1] = 0.025, -0.025
            matching.bias.zero_()
        for layer in model.interbert.encoder.image_layers:
            assert isinstance(layer, BertLayer)
            for last in (layer.attention.output, layer.output):
                last.weight.zero_()
                last.bias.zero_()


@torch.no_grad()
def start_in_balance(embeddings: ImageEmbeddings) -> None:
    """Random weights by which a region's place weighs about as much as its feature, where no warm start sets them.

    Features come standardised, F numbers of variance 1; places are 5 numbers around a half that vary by about a
    quarter. Equal weights for both drown the place: where it alone tells captions apart it was not learnt
    (benchmarks/results/composition.md).
    """
    feature, location = embeddings.feature_projection, embeddings.location_projection
    nn.init.normal_(feature.weight, std=feature.in_features**-0.5)
    nn.init.normal_(location.weight, std=_PLACES_VARY**-1 * location.in_features**-0.5)
    location.bias.copy_(-location.weight[:, :4].sum(dim=1) / 2)


class _Key(NamedTuple):
    """One pair of a step."""

    pair: int
    place: int
    """Among the chosen pairs."""
    row: int
    """Of its image, as it is or mirrored."""
    together: tuple[int, ...] = ()
    """Pairs of the step in all processes; empty when there is one."""


def _draw(
    data: PairData, pairs: NDArray[np.int64], size: int, cut: Cut, seed: tuple[int, int], epoch: int
) -> Iterator[list[_Key]]:
    """This process's part of each step of an epoch."""
    generator = np.random.default_rng((*seed, epoch))
    order = generator.permutation(len(pairs))
    for start in range(0, len(order) - size + 1, size):
        places = order[start : start + size].tolist()
        chosen = pairs[places].tolist()
        rows = [data.row(pair, generator) for pair in chosen]
        together = tuple(chosen) if cut.processes > 1 else ()
        keys = [_Key(*one, together) for one in zip(chosen, places, rows, strict=True)]
        yield keys[cut.process * size // cut.processes :][: size // cut.processes]


class _Contrast(StageTask):
    """The image side against fixed text vectors.

    Args:
        data: pairs and images.
        texts: [n,H] of the chosen pairs.
        dropout: on region features, text vectors and the words of texts.
        whole: images through all layers; else the embedded global token alone, no layer between.
        pad_id: id of [PAD].
    """

    def __init__(self, data: WarmStartData, texts: Tensor, dropout: float, whole: bool, pad_id: int) -> None:
        self._data = data
        self._texts = texts
        self._dropout = dropout
        self._whole = whole
        self._pad_id = pad_id

    def batch(self, keys: Sequence[_Key]) -> dict[str, Tensor]:
        """What :meth:`losses` reads of some pairs."""
        data = self._data.pairs
        found = {
            "texts": self._texts[[key.place for key in keys]],
            "same": torch.from_numpy(data.table.same(keys[0].together or [key.pair for key in keys])),
            **text_tensors([data.ids[key.pair] for key in keys], self._pad_id),
        }
        rows = [key.row for key in keys]
        if not self._whole:
            return found | {"features": torch.from_numpy(self._data.pooled[np.array(rows)]).unsqueeze(1)}
        regions = data.regions(rows)
        images = image_tensors([data.image(regions[row], row) for row in rows])
        return found | images | {"features": images.pop("region_features")}

    def losses(self, model: InterBertForPreTraining, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The contrast."""
        trunk = model.interbert
        features = dropout(batch["features"], self._dropout, model.training)
        if self._whole:
            others = {name: batch[name] for name in ("region_locations", "region_mask", "real_regions")}
            images = model.pool_image(features, **others)
            first = model.global_token(features, batch["region_locations"])
        else:
            place = torch.tensor(GLOBAL_LOCATION, device=features.device).expand(len(features), 1, 5)
            embedded = trunk.image_embeddings(features, place)
            images, first = trunk.image_pooler(embedded), embedded[:, 0]
        texts = dropout(batch["texts"], self._dropout, model.training)
        words = None
        pooled = trunk.text_pooler(texts.unsqueeze(1))
        if model.config.contrastive_lexical:
            words = model.words(batch["input_ids"], batch["attention_mask"], self._dropout)
        loss = contrast(model, pooled, images, batch["same"], words, first)
        return {"loss": loss, "contrastive_loss": loss}


@torch.no_grad()
def _text_vectors(
    model: InterBertForPreTraining, data: PairData, pairs: NDArray[np.int64], bf16: bool, size: int = 256
) -> Tensor:
    """The text side's first token [n,H] of every chosen pair's text, as the BERT has it."""
    model.eval()
    ids = [data.ids[int(pair)] for pair in pairs]
    vectors = torch.empty(len(ids), model.config.hidden_size)
    by_length = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    with autocast(model, bf16):
        for start in range(0, len(ids), size):
            part = by_length[start : start + size]
            batch = text_tensors([ids[index] for index in part], model.config.pad_token_id)
            output = model.interbert(
                batch["input_ids"].to(model.device), batch["attention_mask"].to(model.device), pooled_only=True
            )
            vectors[part] = output.text_hidden_state[:, 0].float().cpu()
    return vectors
