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

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from interbert.atomic_write import replacing
from interbert.data.collation import image_tensors, text_tensors
from interbert.data.examples import PairData
from interbert.errors import TrainingError, writing
from interbert.model.layers import BertLayer
from interbert.model.modeling import InterBertForPreTraining
from interbert.model.region_inputs import GLOBAL_LOCATION
from interbert.model.scoring import autocast
from interbert.progress import progress_bar
from interbert.tasks.contrast import contrast
from interbert.tasks.retrieval import RetrievalTask
from interbert.training.arguments import CHECKPOINTS
from interbert.training.optimizer import up_then_down
from interbert.training.options import WarmStartOptions

_logger = logging.getLogger(__name__)

WARM_START = "warm_start.safetensors"

_LEAST_STEPS = 8
"""Steps of a pass: of few pairs, smaller batches are made."""


@dataclass(frozen=True)
class WarmStartData:
    """What the stages learn from."""

    pairs: PairData
    pooled: NDArray[np.float32]
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
    """Fill the image side, poolers, projections and matching head in place.

    Each stage's result is kept among the run's checkpoints, so a run that is continued does not do it again; it is the
    same for the same seed.

    Args:
        model: initialised from a BERT, on the device to train on.
        data: pairs with their images.
        options: how long.
        out: folder of the run.
        bf16: compute in bf16.

    Raises:
        StorageError: a result cannot be written.
        TrainingError: a loss is not finite.
    """
    kept = out / CHECKPOINTS / WARM_START
    done = 0
    if kept.exists():
        with safe_open(kept, framework="pt") as file:
            done = int(file.metadata()["stages"])
        model.load_state_dict(load_file(kept), strict=False)
    if done < len(_STAGES):
        learner = _Learner(model, data, options, bf16)
        if not done:
            learner.start_alike()
        for number, stage in enumerate(_STAGES[done:], start=done):
            learner.train(stage, number)
            _keep(model, kept, number + 1)
    if done <= len(_STAGES):
        data.task.calibrate(model)
        _keep(model, kept, len(_STAGES) + 1)


def _keep(model: InterBertForPreTraining, kept: Path, stages: int) -> None:
    """Write what was learnt so far; calibration counts as one more stage."""
    trained = {name: value.detach().cpu().contiguous() for name, value in _trained(model).items()}
    with writing(kept):
        kept.parent.mkdir(parents=True, exist_ok=True)
    with replacing(kept) as part:
        save_file(trained, part, metadata={"stages": str(stages)})


@dataclass(frozen=True)
class _Stage:
    title: str
    epochs: str
    """Option with its passes."""
    rate: str
    """Option with its peak learning rate."""
    whole: bool
    """Through all layers, or the heads alone."""


_STAGES = (
    _Stage("heads", "head_epochs", "head_learning_rate", whole=False),
    _Stage("image side", "epochs", "learning_rate", whole=True),
)


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


class _Learner:
    """Trains the image side against fixed text vectors."""

    def __init__(
        self,
        model: InterBertForPreTraining,
        data: WarmStartData,
        options: WarmStartOptions,
        bf16: bool,
    ) -> None:
        self._model = model
        self._device = model.device
        self._data = data
        self._options = options
        self._bf16 = bf16
        self._seed = data.pairs.seed
        table = data.pairs.table
        self._pairs = np.random.default_rng(self._seed).permutation(len(table))[: options.max_pairs]
        self._texts = self._text_vectors()
        self._dropout = nn.Dropout(options.dropout)

    def start_alike(self) -> None:
        """Both sides are compared in one space: equal projections, equal weights, layers that only normalise."""
        with torch.no_grad():
            if self._model.config.contrastive_size is not None:
                head = self._model.contrastive_head
                nn.init.orthogonal_(head.text_projection.weight)
                head.image_projection.weight.copy_(head.text_projection.weight)
            if self._model.config.fusion == "mul":
                matching = self._model.matching_head
                matching.weight[0], matching.weight[1] = 0.025, -0.025
                matching.bias.zero_()
            for layer in self._model.interbert.encoder.image_layers:
                assert isinstance(layer, BertLayer)
                for last in (layer.attention.output, layer.output):
                    last.weight.zero_()
                    last.bias.zero_()

    def train(self, stage: _Stage, number: int) -> None:
        """One stage: AdamW, a tenth of the steps of warm-up, then down to zero."""
        epochs, rate = getattr(self._options, stage.epochs), getattr(self._options, stage.rate)
        if not epochs or len(self._pairs) < 2:
            return
        trained = list(_trained(self._model).values())
        optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.01, fused=True)
        size = max(2, min(self._options.batch_size, len(self._pairs) // _LEAST_STEPS))
        steps = epochs * (len(self._pairs) // size)
        schedule = up_then_down(optimizer, steps)
        pool = self._pool_image if stage.whole else self._pool_shortcut
        losses: list[float] = []
        self._model.train()
        torch.manual_seed(self._seed + number)  # dropout; a stage that is repeated gives the same
        title = f"warm start: {stage.title}"
        with _only(self._model, trained), progress_bar(title, steps * size, "pairs") as advance:
            for places, generator in self._batches(number, epochs, size):
                loss = self._loss(places, pool(self._pairs[places], generator))
                losses.append(loss.item())
                if not np.isfinite(losses[-1]):
                    raise TrainingError(
                        f"{title}, step {len(losses)}: the loss is not finite. Lower warm_start.{stage.rate}."
                    )
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(trained, 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                advance(size)
        last = losses[-max(1, steps // epochs) :]
        _logger.info(f"{title}: contrast {np.mean(last):.2f} in the last pass (chance {np.log(size):.2f})")

    def _pool_shortcut(self, chosen: NDArray[np.int64], generator: np.random.Generator) -> Tensor:
        """Pooled images [B,P] from the embedded global token alone, no layer between."""
        rows = [self._data.pairs.row(int(pair), generator) for pair in chosen]
        features = torch.from_numpy(self._data.pooled[rows]).unsqueeze(1).to(self._device)
        whole = torch.tensor(GLOBAL_LOCATION, device=self._device).expand(len(rows), 1, 5)
        trunk = self._model.interbert
        with self._precision():
            pooled: Tensor = trunk.image_pooler(trunk.image_embeddings(self._dropout(features), whole))
        return pooled

    def _pool_image(self, chosen: NDArray[np.int64], generator: np.random.Generator) -> Tensor:
        """Pooled images [B,P] as the dual encoder has them."""
        pairs = self._data.pairs
        rows = [pairs.row(int(pair), generator) for pair in chosen]
        regions = pairs.regions(rows)
        batch = image_tensors([pairs.image(regions[row], row) for row in rows])
        inputs = {name: value.to(self._device) for name, value in batch.items()}
        inputs["region_features"] = self._dropout(inputs["region_features"])
        with self._precision():
            pooled: Tensor = self._model.pool_image(**inputs)
        return pooled

    def _loss(self, places: NDArray[np.int64], images: Tensor) -> Tensor:
        texts = self._texts[torch.from_numpy(places)].to(self._device)
        same = torch.from_numpy(self._data.pairs.table.same(self._pairs[places].tolist())).to(self._device)
        with self._precision():
            pooled = self._model.interbert.text_pooler(self._dropout(texts).unsqueeze(1))
            loss: Tensor = contrast(self._model, pooled, images, same, self._words(places))
        return loss

    def _words(self, places: NDArray[np.int64]) -> Tensor | None:
        """What the table of words says of texts; the passes' dropout is the tokens' too."""
        if not self._model.config.contrastive_lexical:
            return None
        ids = [self._data.pairs.ids[int(pair)] for pair in self._pairs[places]]
        batch = text_tensors(ids, self._model.config.pad_token_id)
        input_ids, mask = batch["input_ids"].to(self._device), batch["attention_mask"].to(self._device)
        return self._model.words(input_ids, mask, self._options.dropout)

    def _batches(self, stage: int, epochs: int, size: int) -> Iterator[tuple[NDArray[np.int64], np.random.Generator]]:
        """Places in the chosen pairs, and the generator that mirrors their images."""
        for epoch in range(epochs):
            generator = np.random.default_rng((self._seed, stage, epoch))
            order = generator.permutation(len(self._pairs))
            for start in range(0, len(order) - size + 1, size):
                yield order[start : start + size], generator

    @torch.no_grad()
    def _text_vectors(self, size: int = 256) -> Tensor:
        """The text side's first token [n,H] of every chosen pair's text, as the BERT has it."""
        self._model.eval()
        ids = [self._data.pairs.ids[int(pair)] for pair in self._pairs]
        pad_id = self._model.config.pad_token_id
        vectors = torch.empty(len(ids), self._model.config.hidden_size)
        by_length = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        with self._precision():
            for start in range(0, len(ids), size):
                part = by_length[start : start + size]
                batch = text_tensors([ids[index] for index in part], pad_id)
                output = self._model.interbert(
                    batch["input_ids"].to(self._device), batch["attention_mask"].to(self._device), pooled_only=True
                )
                vectors[part] = output.text_hidden_state[:, 0].float().cpu()
        return vectors

    def _precision(self) -> AbstractContextManager[object]:
        return autocast(self._model) if self._bf16 else nullcontext()


@contextmanager
def _only(model: nn.Module, trained: Sequence[nn.Parameter]) -> Iterator[None]:
    """Gradients for ``learnt`` alone, for the length of a block."""
    kept = {id(parameter) for parameter in trained}
    frozen = [parameter for parameter in model.parameters() if id(parameter) not in kept and parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
