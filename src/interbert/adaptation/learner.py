"""The upper layers of an image network and two heads, taught by contrast with frozen text vectors.

A batch of images is told from its own texts and many more, and its texts from its own images and those of the steps
before (vectors of steps before cost nothing: He et al. 2020, section 3.1, without the second network). Where the
catalogue has columns that say of what kind a product is, the images are told by those, too. The classifier learns
beside it to say of the new features what the network said of the old ones, and does not change them, so that class
distributions stay what region masking predicts.

Shapes: B batch, M more texts, Q images of steps before, D contrastive size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from interbert.adaptation.attribute_head import UNKNOWN, AttributeHead, Attributes
from interbert.adaptation.features import pooled_features, random_crops
from interbert.adaptation.maps import ImageMaps
from interbert.adaptation.options import BackboneOptions
from interbert.adaptation.projection_heads import ProjectionHeads
from interbert.atomic_write import replacing
from interbert.data.pairs import PairTable
from interbert.errors import TrainingError
from interbert.extraction.efficientnet import EfficientNetLite0
from interbert.losses.contrastive import contrastive_loss_from_scores, find_answers
from interbert.model.processing import pad_texts
from interbert.progress import progress_bar
from interbert.training.optimizer import make_schedule, up_then_down

_HEADS_BATCH = 1024
_HEADS_RATE = 2e-3
_WARM_UP = 0.05
_EVALUATED = 64


@dataclass(frozen=True)
class Catalogue:
    """Images with their texts."""

    maps: ImageMaps
    table: PairTable
    """Its rows are numbers of ``maps``."""
    vectors: NDArray[np.float32]
    """[pairs,H] of the frozen BERT."""
    tokens: Sequence[Sequence[int]]
    """Of each pair's text."""
    attributes: Attributes
    """Of each image of ``maps``."""


@dataclass(frozen=True)
class Described:
    """What a network says of a catalogue."""

    texts: NDArray[np.float32]
    """[pairs,D], of length 1."""
    images: NDArray[np.float32]
    """[n,D], of length 1; zeros of images that no pair has."""
    attributes: dict[str, float]
    """Per cent of the pairs' images whose value is told rightly, by column; empty where columns were not read."""


class BackboneLearner:
    """One run: heads first, then everything, epoch by epoch.

    Args:
        backbone: whose upper layers learn, on the device to learn on.
        towers: the heads, on the same device.
        train: what to learn from.
        options: how.
    """

    def __init__(
        self, backbone: EfficientNetLite0, heads: ProjectionHeads, train: Catalogue, options: BackboneOptions
    ) -> None:
        self._backbone = backbone
        self._heads_of = heads
        self._train = train
        self._options = options
        self._device = backbone.device
        self._heads = nn.ModuleDict({"towers": heads})
        self._attributes: AttributeHead | None = None
        if train.attributes.columns:
            sizes = [len(values) for values in train.attributes.values]
            self._attributes = AttributeHead(train.maps.pooled.shape[2], sizes).to(self._device)
            self._heads["attributes"] = self._attributes
        self.trained = nn.ModuleDict({"upper": backbone.upper, **self._heads})
        self.average = AveragedModel(self.trained, multi_avg_fn=_average(options.ema_decay))
        self._pairs_of = _pairs_by_image(train.table, len(train.maps))
        self._images = np.flatnonzero([len(pairs) > 0 for pairs in self._pairs_of])
        self._queue: list[tuple[Tensor, NDArray[np.int64]]] = []
        steps = sum(
            -(-int((train.maps.canvas[self._images] == canvas).sum()) // options.batch_size)
            for canvas in range(len(train.maps.files))
        )
        self._steps = max(1, steps * options.epochs)
        self._optimizer = torch.optim.AdamW(self._parameter_groups(), fused=True)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimizer, self._rate)
        self.epochs_done = 0

    def _parameter_groups(self) -> list[dict[str, Any]]:
        options = self._options
        groups = []
        for module, rate in (
            (self._backbone.upper, options.learning_rate),
            (self._heads, options.head_learning_rate),
        ):
            matrices = [one for one in module.parameters() if one.ndim > 1]
            others = [one for one in module.parameters() if one.ndim <= 1]
            groups.append({"params": matrices, "lr": rate, "weight_decay": options.weight_decay})
            groups.append({"params": others, "lr": rate, "weight_decay": 0.0})
        return groups

    def _rate(self, step: int) -> float:
        warm = max(1, round(_WARM_UP * self._steps))
        falling = 0.5 * (1 + np.cos(np.pi * min(1.0, step / self._steps)))
        return float(min(1.0, (step + 1) / warm) * falling)

    def fit_heads(self) -> None:
        """The heads alone, on the vectors of the network as it was."""
        options, table = self._options, self._train.table
        size = max(2, min(_HEADS_BATCH, len(table) // 8))
        steps = options.head_epochs * (len(table) // size)
        optimizer = torch.optim.AdamW(self._heads.parameters(), lr=_HEADS_RATE, weight_decay=0.01, fused=True)
        schedule = make_schedule(up_then_down, optimizer, steps)
        self._heads_of.train()
        torch.manual_seed(options.seed)
        with progress_bar("heads", steps * size, "pairs") as advance:
            for epoch in range(options.head_epochs):
                generator = np.random.default_rng((options.seed, 0, epoch))
                order = generator.permutation(len(table))
                for start in range(0, len(order) - size + 1, size):
                    pairs = order[start : start + size]
                    views = generator.integers(0, 2, size)
                    features = torch.from_numpy(self._train.maps.pooled[table.rows[pairs], views]).to(self._device)
                    images = self._heads_of.images(features)
                    same = torch.from_numpy(table.same(pairs.tolist())).to(self._device)
                    scores = self._heads_of.scale * (self._texts(self._train, pairs) @ images.T)
                    losses = {"contrast": contrastive_loss_from_scores(scores, same)}
                    losses |= self._attribute_loss(features, table.rows[pairs])
                    _descend(losses, optimizer, self._heads.parameters(), "heads")
                    schedule.step()
                    advance(size)
        self.average.module.load_state_dict(self.trained.state_dict())

    def epoch(self) -> dict[str, float]:
        """One pass over the images; returns the mean losses."""
        options, epoch = self._options, self.epochs_done
        generator = np.random.default_rng((options.seed, 1, epoch))
        torch.manual_seed(options.seed + 1 + epoch)
        crops = torch.Generator().manual_seed(options.seed + 1 + epoch)
        batches = self._train.maps.batches(self._images, options.batch_size, generator)
        losses: list[dict[str, float]] = []
        self.trained.train()
        title = f"backbone, pass {epoch + 1} of {options.epochs}"
        with progress_bar(title, sum(map(len, batches)), "images") as advance:
            for images in batches:
                parts = self._losses(images, generator, crops)
                _descend(parts, self._optimizer, self.trained.parameters(), title)
                self._schedule.step()
                self.average.update_parameters(self.trained)
                losses.append({name: part.item() for name, part in parts.items()})
                advance(len(images))
        self.epochs_done += 1
        return {name: float(np.mean([one[name] for one in losses])) for name in losses[0]}

    def _losses(
        self, images: NDArray[np.int64], generator: np.random.Generator, crops: torch.Generator
    ) -> dict[str, Tensor]:
        maps, table, options = self._train.maps, self._train.table, self._options
        views = generator.integers(0, 2, len(images))
        pairs = np.array([generator.choice(self._pairs_of[image]) for image in images])
        more = generator.choice(len(table), min(options.more_texts, len(table)), replace=False)
        lower = maps.read(images, views).to(self._device).contiguous(memory_format=torch.channels_last)
        lower = random_crops(lower, options.smallest_crop, crops)
        upper = self._backbone.upper_maps(lower)
        features = pooled_features(lower, upper)
        image_vectors = self._heads_of.images(features)
        texts = self._texts(self._train, np.concatenate([pairs, more]))
        own = texts[: len(pairs)]
        relevant_images = table.relevant(np.concatenate([pairs, more]), pairs).T
        before = [vectors for vectors, _ in self._queue]
        earlier = np.concatenate([pairs, *(rows for _, rows in self._queue)])
        relevant_texts = table.relevant(pairs, earlier)
        scale = self._heads_of.scale
        contrast = 0.5 * (
            find_answers(scale * image_vectors @ texts.T, self._also_relevant(relevant_images))
            + find_answers(scale * own @ torch.cat([image_vectors, *before]).T, self._also_relevant(relevant_texts))
        )
        self._remember(image_vectors.detach(), pairs)
        wanted = torch.from_numpy(maps.classes[images, views].astype(np.float32)).to(self._device)
        logits = self._backbone.classify(upper["head"].detach().mean(dim=(2, 3)))
        classes = nn.functional.cross_entropy(logits, wanted)
        return {"contrast": contrast, "classes": classes, **self._attribute_loss(features, images)}

    def _attribute_loss(self, features: Tensor, images: NDArray[np.int64]) -> dict[str, Tensor]:
        """Weighted loss of images' columns, by its name; empty where none were read."""
        if self._attributes is None:
            return {}
        numbers = torch.from_numpy(self._train.attributes.numbers[images]).to(self._device)
        loss = self._attributes.loss(self._heads_of.standardised(features), numbers)
        return {"attributes": self._options.column_loss_weight * loss}

    def _also_relevant(self, relevant: NDArray[np.bool_]) -> Tensor:
        """What is right besides the answers on the diagonal."""
        others = relevant.copy()
        np.fill_diagonal(others, False)
        return torch.from_numpy(others).to(self._device)

    def _remember(self, image_vectors: Tensor, pairs: NDArray[np.int64]) -> None:
        self._queue.append((image_vectors, pairs))
        while sum(len(rows) for _, rows in self._queue) > self._options.more_images:
            self._queue.pop(0)

    def _texts(self, data: Catalogue, pairs: NDArray[np.int64]) -> Tensor:
        """Unit vectors [B,D] of pairs' texts."""
        batch = {name: one.to(self._device) for name, one in pad_texts([data.tokens[pair] for pair in pairs]).items()}
        vectors = torch.from_numpy(data.vectors[pairs]).to(self._device)
        return self._heads_of.texts(vectors, batch["input_ids"], batch["attention_mask"])

    @torch.inference_mode()
    def described(self, data: Catalogue) -> Described:
        """What the averaged weights say of a catalogue's pairs and their images."""
        found = np.zeros((len(data.maps), self._heads_of.head.image_projection.out_features), dtype=np.float32)
        correct = np.zeros(len(data.attributes.columns))
        shown, _ = data.table.gallery()
        with self.averaged():
            self.trained.eval()
            for images in data.maps.batches(shown, _EVALUATED, np.random.default_rng(0)):
                lower = data.maps.read(images, np.zeros(len(images), dtype=np.int64)).to(self._device)
                upper = self._backbone.upper_maps(lower)
                features = pooled_features(lower, upper)
                found[images] = self._heads_of.images(features).cpu().numpy()
                if self._attributes is not None and data.attributes.columns:
                    numbers = torch.from_numpy(data.attributes.numbers[images]).to(self._device)
                    correct += self._attributes.correct(self._heads_of.standardised(features), numbers).cpu().numpy()
            texts = [
                self._texts(data, np.arange(start, min(start + 1024, len(data.table)))).cpu()
                for start in range(0, len(data.table), 1024)
            ]
        known = (data.attributes.numbers[shown] != UNKNOWN).sum(axis=0)
        shares = {
            name: float(100 * correct[place] / known[place])
            for place, name in enumerate(data.attributes.columns)
            if known[place]
        }
        return Described(torch.cat(texts).numpy(), found, shares)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The averaged weights in place of those that learn, for the length of a block."""
        learning = {name: value.clone() for name, value in self.trained.state_dict().items()}
        self.trained.load_state_dict(self.average.module.state_dict())
        try:
            yield
        finally:
            self.trained.load_state_dict(learning)

    def upper(self) -> dict[str, Tensor]:
        """Averaged weights of the network's upper layers, on the CPU."""
        with self.averaged():
            state = self.trained["upper"].state_dict()
            return {name: value.cpu().clone().contiguous() for name, value in state.items()}

    def save(self, file: Path, beside: Mapping[str, Any]) -> None:
        """Write everything that another process needs to go on, whole or not at all.

        Args:
            file: to write.
            beside: what else belongs to this moment: tensors and plain values.

        Raises:
            StorageError: the disk is full.
        """
        with replacing(file) as part:
            torch.save(
                {
                    **beside,
                    "learnt": self.trained.state_dict(),
                    "average": self.average.state_dict(),
                    "optimizer": self._optimizer.state_dict(),
                    "schedule": self._schedule.state_dict(),
                    "queue": [(vectors.cpu(), torch.from_numpy(pairs)) for vectors, pairs in self._queue],
                    "epochs_done": self.epochs_done,
                },
                part,
            )

    def load(self, file: Path) -> dict[str, Any]:
        """Go on from what :meth:`save` wrote; returns all of it."""
        state: dict[str, Any] = torch.load(file, map_location=self._device, weights_only=True)
        self.trained.load_state_dict(state["learnt"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._queue = [(vectors, pairs.cpu().numpy()) for vectors, pairs in state["queue"]]
        self.epochs_done = int(state["epochs_done"])
        return state


def _average(decay: float) -> Any:
    return get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]


def _descend(losses: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, parameters: Any, title: str) -> None:
    loss = torch.stack(list(losses.values())).sum()
    if not bool(torch.isfinite(loss)):
        raise TrainingError(f"{title}: the loss is not finite. Lower the learning rates.")
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    optimizer.zero_grad()


def _pairs_by_image(table: PairTable, images: int) -> list[NDArray[np.int64]]:
    order = np.argsort(table.rows, kind="stable")
    bounds = np.searchsorted(table.rows[order], np.arange(images + 1))
    return [order[start:end] for start, end in pairwise(bounds)]
