"""Let an image side that has learnt nothing meet a text side that has, before they train together.

A BERT fills the text side alone (SPEC part 1). Trained together from there, a picture's few thousand captions have to
teach the image side everything while its noise unteaches the text side. Two cheap stages come first, both a contrast
of separately encoded sides against the BERT's own text vectors, which are computed once:

1. *heads*: the region embedding, both poolers and projections, on one vector a picture and one a text, as if the
   layers between them were not there. Seconds for ten thousand pictures.
2. *image side*: the same and the image layers, through the interaction layers as they are. The image layers start as
   the identity, so that they have only to add.

Both projections start as one orthonormal matrix and the matching head as equal weights: cosine and matching logit
agree, and what the contrast teaches is what the joint pass starts from.

Shapes: n texts, B batch, F region feature size, H hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from interbert.data.collation import picture_tensors, text_tensors
from interbert.data.examples import PairData
from interbert.errors import writing
from interbert.model.modeling import InterBertForPreTraining
from interbert.model.scoring import autocast
from interbert.progress import progress_bar
from interbert.training.options import WarmStartOptions

WARM_START = "warm_start.safetensors"

Picture = Callable[[NDArray[np.int64], np.random.Generator], Tensor]
"""Pooled picture vectors [B,P] of pairs, each as it is or mirrored."""


@dataclass(frozen=True)
class WarmStartData:
    """What the stages learn from."""

    pairs: PairData
    pooled: NDArray[np.float32]
    """[rows,F], the standardised mean region feature of every store row."""


def can_warm_start(model: InterBertForPreTraining, options: WarmStartOptions) -> bool:
    """Whether the options ask for it and there is a contrast to do it with."""
    contrast = model.config.contrastive_size is not None or model.config.fusion == "mul"
    return contrast and options.head_epochs + options.epochs > 0


def warm_start(
    model: InterBertForPreTraining, data: WarmStartData, options: WarmStartOptions, out: Path, bf16: bool, seed: int
) -> None:
    """Fill the image side, poolers, projections and matching head in place.

    The result is kept in ``out``, so a run that is continued does not do it again; it is the same for the same seed.

    Args:
        model: initialised from a BERT.
        data: pairs with their pictures.
        options: how long.
        out: folder of the run.
        bf16: compute in bf16.
        seed: of batches and mirror images.

    Raises:
        StorageError: the result cannot be written.
    """
    kept = out / WARM_START
    learnt = _trained(model)
    if kept.exists():
        model.load_state_dict(load_file(kept), strict=False)
        return
    learner = _Learner(model, data, options, bf16, seed)
    learner.start_alike()
    if options.head_epochs:
        learner.train("warm start: heads", options.head_epochs, options.head_learning_rate, learner.pool_shortcut)
    if options.epochs:
        learner.train("warm start: image side", options.epochs, options.learning_rate, learner.pool_picture)
    part = kept.with_name(kept.name + ".part")
    with writing(out):
        save_file({name: learnt[name].detach().cpu().contiguous() for name in learnt}, part)
        part.replace(kept)


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
        seed: int,
    ) -> None:
        self._model = model.to("cuda" if torch.cuda.is_available() else "cpu")
        self._device = self._model.device
        self._data = data
        self._options = options
        self._bf16 = bf16
        self._seed = seed
        table = data.pairs.table
        self._pairs = np.random.default_rng(seed).permutation(len(table))[: options.max_pairs]
        self._texts = self._text_vectors(self._pairs)
        self._place = {int(pair): place for place, pair in enumerate(self._pairs)}
        self._dropout = nn.Dropout(options.dropout)

    def start_alike(self) -> None:
        """Both sides are compared in one space: equal projections, equal weights, layers that change nothing."""
        with torch.no_grad():
            if self._model.config.contrastive_size is not None:
                head = self._model.contrastive_head
                nn.init.orthogonal_(head.text_projection.weight)
                head.image_projection.weight.copy_(head.text_projection.weight)
            matching = self._model.matching_head
            matching.weight[0], matching.weight[1] = 0.025, -0.025
            matching.bias.zero_()
            for layer in self._model.interbert.encoder.image_layers:
                for last in (layer.attention.output, layer.output):
                    last.weight.zero_()
                    last.bias.zero_()

    def train(self, title: str, epochs: int, rate: float, pool_picture: Picture) -> None:
        """One stage: AdamW, a tenth of the steps of warm-up, then down to zero."""
        learnt = list(_trained(self._model).values())
        frozen = [value for value in self._model.parameters() if all(value is not one for one in learnt)]
        optimizer = torch.optim.AdamW(learnt, lr=rate, weight_decay=0.01, fused=True)
        size = min(self._options.batch_size, len(self._pairs))
        steps = epochs * (len(self._pairs) // size)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(1.0, 10 * (step + 1) / steps) * (1 - step / steps)
        )
        _require_grad(frozen, False)
        self._model.train()
        losses: list[float] = []
        try:
            with progress_bar(title, steps * size, "pairs") as advance:
                for chosen, generator in self._batches(epochs, size):
                    loss = self._loss(chosen, pool_picture(chosen, generator))
                    loss.backward()  # type: ignore[no-untyped-call]
                    nn.utils.clip_grad_norm_(learnt, 1.0)
                    optimizer.step()
                    schedule.step()
                    optimizer.zero_grad()
                    losses.append(loss.item())
                    advance(size)
        finally:
            _require_grad(frozen, True)
        last = losses[-max(1, steps // epochs) :]
        print(f"{title}: contrast {np.mean(last):.2f} in the last pass (chance {np.log(size):.2f})", flush=True)

    def pool_shortcut(self, chosen: NDArray[np.int64], generator: np.random.Generator) -> Tensor:
        """Pooled pictures [B,P] from the embedded global token alone, no layer between."""
        rows = [self._data.pairs.row(int(pair), generator) for pair in chosen]
        features = torch.from_numpy(self._data.pooled[rows]).unsqueeze(1).to(self._device)
        whole = torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0], device=self._device).expand(len(rows), 1, 5)
        trunk = self._model.interbert
        with self._precision():
            pooled: Tensor = trunk.image_pooler(trunk.image_embeddings(self._dropout(features), whole))
        return pooled

    def pool_picture(self, chosen: NDArray[np.int64], generator: np.random.Generator) -> Tensor:
        """Pooled pictures [B,P] as the dual encoder has them."""
        pairs = self._data.pairs
        rows = [pairs.row(int(pair), generator) for pair in chosen]
        regions = pairs.regions(rows)
        batch = picture_tensors([pairs.picture(regions[row], row) for row in rows])
        inputs = {name: value.to(self._device) for name, value in batch.items()}
        inputs["region_features"] = self._dropout(inputs["region_features"])
        with self._precision():
            pooled: Tensor = self._model.pool_image(**inputs)
        return pooled

    def _loss(self, chosen: NDArray[np.int64], pictures: Tensor) -> Tensor:
        texts = self._texts[[self._place[int(pair)] for pair in chosen]].to(self._device)
        same = torch.from_numpy(self._data.pairs.table.same(chosen.tolist())).to(self._device)
        with self._precision():
            pooled = self._model.interbert.text_pooler(self._dropout(texts).unsqueeze(1))
            loss: Tensor = self._model.contrast(pooled, pictures, same)
        return loss

    def _batches(self, epochs: int, size: int) -> Iterator[tuple[NDArray[np.int64], np.random.Generator]]:
        for epoch in range(epochs):
            generator = np.random.default_rng((self._seed, epoch))
            order = generator.permutation(self._pairs)
            for start in range(0, len(order) - size + 1, size):
                yield order[start : start + size], generator

    @torch.no_grad()
    def _text_vectors(self, pairs: NDArray[np.int64], size: int = 256) -> Tensor:
        """The text side's first token [n,H] of every text, as the BERT has it."""
        self._model.eval()
        ids = [self._data.pairs.ids[int(pair)] for pair in pairs]
        vectors = torch.empty(len(ids), self._model.config.hidden_size)
        by_length = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        with self._precision():
            for start in range(0, len(ids), size):
                part = by_length[start : start + size]
                batch = text_tensors([ids[index] for index in part], 0)
                output = self._model.interbert(
                    batch["input_ids"].to(self._device), batch["attention_mask"].to(self._device), pooled_only=True
                )
                vectors[part] = output.text_hidden_state[:, 0].float().cpu()
        return vectors

    def _precision(self) -> AbstractContextManager[object]:
        return autocast(self._model) if self._bf16 else nullcontext()


def _require_grad(parameters: Sequence[nn.Parameter], wanted: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad_(wanted)
