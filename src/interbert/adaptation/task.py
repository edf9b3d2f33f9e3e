"""The upper layers of an image network and two heads, trained by contrast with frozen text vectors.

A batch of images is told from its own texts and many more, and its texts from its own images and those of the steps
before (vectors of steps before cost nothing: He et al. 2020, section 3.1, without the second network). Where the
catalogue has columns that say of what kind a product is, the images are told by those, too. The classifier learns
beside it to say of the new features what the network said of the old ones, and does not change them, so that class
distributions stay what region masking predicts.

Shapes: B batch, M more texts, Q images of steps before, D contrastive size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from interbert.adaptation.depthwise import learn_quickly
from interbert.adaptation.heads import UNKNOWN, AttributeHead, Attributes, ProjectionHeads
from interbert.adaptation.maps import ImageMaps, cropped, pooled_features, random_crops
from interbert.adaptation.options import BackboneOptions
from interbert.data.pairs import PairTable
from interbert.data.sampling import DrawnBatches
from interbert.extraction.efficientnet import EfficientNetLite0
from interbert.losses.contrastive import contrastive_loss_from_scores, find_answers
from interbert.model.processing import pad_texts
from interbert.model.scoring import autocast
from interbert.tasks.metrics import direction_metrics
from interbert.training.stage import StageTask

_HEADS_BATCH = 1024
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

    def texts(self, pairs: NDArray[np.int64]) -> dict[str, Tensor]:
        """Vectors and tokens of pairs' texts."""
        return {"vectors": torch.from_numpy(self.vectors[pairs]), **pad_texts([self.tokens[pair] for pair in pairs])}


class ImageQueue(nn.Module):
    """Vectors of the images of the steps before, which a checkpoint takes along.

    Args:
        limit: at most so many; whole steps are forgotten.
        size: D.
    """

    vectors: Tensor
    """[Q,D]"""
    pairs: Tensor
    """[Q] whose images they are of."""
    steps: Tensor
    """[Q] by which step, the oldest first."""

    def __init__(self, limit: int, size: int) -> None:
        super().__init__()
        self._limit = limit
        self.register_buffer("vectors", torch.empty(0, size))
        self.register_buffer("pairs", torch.empty(0, dtype=torch.long))
        self.register_buffer("steps", torch.empty(0, dtype=torch.long))

    def push(self, vectors: Tensor, pairs: Tensor) -> None:
        """Remember a step's images [B,D] of pairs [B]."""
        step = int(self.steps[-1]) + 1 if len(self.steps) else 0
        self.vectors = torch.cat([self.vectors, vectors])
        self.pairs = torch.cat([self.pairs, pairs])
        self.steps = torch.cat([self.steps, torch.full_like(pairs, step)])
        while len(self.steps) > self._limit:
            kept = self.steps != self.steps[0]
            self.vectors, self.pairs, self.steps = self.vectors[kept], self.pairs[kept], self.steps[kept]

    def _load_from_state_dict(self, state: Mapping[str, Any], prefix: str, *others: Any) -> None:
        for name, value in self.named_buffers():  # as many as were written
            setattr(self, name, value.new_empty(state[prefix + name].shape))
        super()._load_from_state_dict(state, prefix, *others)


class AdaptedBackbone(nn.Module):
    """What is trained: the network's upper layers, the heads, and what they remember.

    Args:
        backbone: whose upper layers are trained.
        heads: of images and texts.
        sizes: [A] number of different values of each column that the images are told by.
        more_images: of the steps before that each text is told from.
    """

    def __init__(
        self, backbone: EfficientNetLite0, heads: ProjectionHeads, sizes: Sequence[int], more_images: int
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.upper = backbone.upper
        if backbone.device.type == "cpu":
            learn_quickly(self.upper)
        self.heads = heads
        self.attributes = AttributeHead(len(heads.mean), sizes) if sizes else None
        self.queue = ImageQueue(more_images, heads.head.image_projection.out_features)

    def attribute_loss(self, features: Tensor, numbers: Tensor) -> dict[str, Tensor]:
        """Loss of images' columns by its name; empty where none were read."""
        if self.attributes is None:
            return {}
        return {"attributes": self.attributes.loss(self.heads.standardised(features), numbers)}


class _Pair(NamedTuple):
    pair: int
    view: int
    together: tuple[int, ...] = ()


class HeadsTask(StageTask):
    """The heads alone, on the vectors of the network as it was.

    Args:
        train: what to learn from.
        options: how.
    """

    def __init__(self, train: Catalogue, options: BackboneOptions) -> None:
        self._train = train
        self._options = options
        self._size = max(2, min(_HEADS_BATCH, len(train.table) // 8))

    @property
    def batches(self) -> DrawnBatches:
        """Pairs, each in one of two views."""
        return DrawnBatches(self._draw, len(self._train.table) // self._size, self._size)

    def _draw(self, epoch: int) -> Iterator[list[_Pair]]:
        generator = np.random.default_rng((self._options.seed, 0, epoch))
        order = generator.permutation(len(self._train.table))
        for start in range(0, len(order) - self._size + 1, self._size):
            pairs = order[start : start + self._size]
            yield list(map(_Pair, pairs.tolist(), generator.integers(0, 2, self._size).tolist()))

    def batch(self, keys: Sequence[_Pair]) -> dict[str, Tensor]:
        """Images' vectors, their texts and columns."""
        pairs, views = (np.array([key[place] for key in keys], dtype=np.int64) for place in (0, 1))
        images = self._train.table.rows[pairs]
        return {
            "features": torch.from_numpy(self._train.maps.pooled[images, views]),
            "same": torch.from_numpy(self._train.table.same(pairs.tolist())),
            "numbers": torch.from_numpy(self._train.attributes.numbers[images]),
            **self._train.texts(pairs),
        }

    def losses(self, model: AdaptedBackbone, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Contrast of images with texts, and the columns."""
        images = model.heads.images(batch["features"])
        scores = model.heads.scale * (_texts(model, batch) @ images.T)
        losses = {"contrast": contrastive_loss_from_scores(scores, batch["same"])}
        return _summed(losses | model.attribute_loss(batch["features"], batch["numbers"]), self._options)


class _Step(NamedTuple):
    """All of one step, as its images are of one canvas and are drawn together."""

    images: NDArray[np.int64]
    views: NDArray[np.int64]
    pairs: NDArray[np.int64]
    """One of each image."""
    more: NDArray[np.int64]
    """Pairs whose texts are no image's own."""
    crops: Tensor | None
    together: tuple[int, ...] = ()

    @property
    def pair(self) -> str:
        """What it is called when its loss is not finite."""
        return f"of images {', '.join(map(str, self.images[:5]))} ..."


class BackboneTask(StageTask):
    """The upper layers and the heads, and R@1 of the validation texts over the validation images.

    Args:
        train: what to learn from.
        judged: what to judge by.
        options: how.
    """

    primary_metric = "r@1"
    greater_is_better = True
    mean_over: ClassVar[Mapping[str, str]] = {"attributes": "numbers"}

    def __init__(self, train: Catalogue, judged: Catalogue, options: BackboneOptions) -> None:
        self._train = train
        self._judged = judged
        self._options = options
        self._pairs_of = _pairs_by_image(train.table, len(train.maps))
        self._images = np.flatnonzero([len(pairs) > 0 for pairs in self._pairs_of])

    @property
    def batches(self) -> DrawnBatches:
        """All images once an epoch."""
        size = self._options.batch_size
        canvases = np.bincount(self._train.maps.canvas[self._images])
        return DrawnBatches(self._draw, int((-(-canvases // size)).sum()), size)

    def _draw(self, epoch: int) -> Iterator[list[_Step]]:
        options, table = self._options, self._train.table
        generator = np.random.default_rng((options.seed, 1, epoch))
        crops = torch.Generator().manual_seed(options.seed + 1 + epoch)
        for images in self._train.maps.batches(self._images, options.batch_size, generator):
            views = generator.integers(0, 2, len(images))
            pairs = np.array([generator.choice(self._pairs_of[image]) for image in images])
            more = generator.choice(len(table), min(options.more_texts, len(table)), replace=False)
            yield [_Step(images, views, pairs, more, random_crops(len(images), options.smallest_crop, crops))]

    def batch(self, keys: Sequence[_Step]) -> dict[str, Tensor]:
        """Maps of images, texts, and which of these are relevant."""
        (step,) = keys
        maps, table = self._train.maps, self._train.table
        texts = np.concatenate([step.pairs, step.more])
        found = {
            "maps": maps.read(step.images, step.views),
            "classes": torch.from_numpy(maps.classes[step.images, step.views].astype(np.float32)),
            "numbers": torch.from_numpy(self._train.attributes.numbers[step.images]),
            "predicted_counts": torch.ones(1),  # a loss of columns that is 0 counts, too: of one value each
            "pairs": torch.from_numpy(step.pairs),
            "also_relevant": _others(table.relevant(texts, step.pairs).T),
            **self._train.texts(texts),
        }
        return found if step.crops is None else found | {"crops": step.crops}

    def losses(self, model: AdaptedBackbone, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Contrast both ways, the classes as they were, and the columns."""
        lower = cropped(batch["maps"].contiguous(memory_format=torch.channels_last), batch.get("crops"))
        with autocast(model):
            upper = model.backbone.upper_maps(lower)
        features = pooled_features(lower, upper)
        images = model.heads.images(features)
        texts = _texts(model, batch)
        pairs, scale = batch["pairs"], model.heads.scale
        earlier = torch.cat([pairs, model.queue.pairs])
        relevant = _others(self._train.table.relevant(pairs.cpu().numpy(), earlier.cpu().numpy())).to(pairs.device)
        contrast = 0.5 * (
            find_answers(scale * images @ texts.T, batch["also_relevant"])
            + find_answers(scale * texts[: len(pairs)] @ torch.cat([images, model.queue.vectors]).T, relevant)
        )
        model.queue.push(images.detach(), pairs)
        logits = model.backbone.classify(upper["head"].detach().mean(dim=(2, 3), dtype=torch.float32))
        losses = {"contrast": contrast, "classes": nn.functional.cross_entropy(logits, batch["classes"])}
        return _summed(losses | model.attribute_loss(features, batch["numbers"]), self._options)

    @torch.inference_mode()
    def evaluate(self, model: AdaptedBackbone) -> Mapping[str, float]:  # type: ignore[override]
        """Recall, and per cent of the images whose value of a column is told rightly."""
        data, heads = self._judged, model.heads
        model.eval()
        device = heads.mean.device
        vectors = torch.zeros(len(data.maps), heads.head.image_projection.out_features)
        correct = np.zeros(len(data.attributes.columns))
        shown, groups = data.table.gallery()
        for images in data.maps.batches(shown, _EVALUATED, np.random.default_rng(0)):
            lower = data.maps.read(images, np.zeros(len(images), dtype=np.int64)).to(device)
            features = pooled_features(lower, model.backbone.upper_maps(lower))
            vectors[images] = heads.images(features).cpu()
            if model.attributes is not None and data.attributes.columns:
                numbers = torch.from_numpy(data.attributes.numbers[images]).to(device)
                correct += model.attributes.correct(heads.standardised(features), numbers).cpu().numpy()
        parts = np.split(np.arange(len(data.table)), range(1024, len(data.table), 1024))
        batches = ({name: one.to(device) for name, one in data.texts(part).items()} for part in parts)
        texts = torch.cat([_texts(model, batch).cpu() for batch in batches])
        relevant = data.table.relevant_to_groups(np.arange(len(data.table)), groups)
        recall = direction_metrics(texts.numpy() @ vectors.numpy()[shown].T, relevant).recall
        known = (data.attributes.numbers[shown] != UNKNOWN).sum(axis=0)
        shares = {
            name: float(100 * correct[place] / known[place])
            for place, name in enumerate(data.attributes.columns)
            if known[place]
        }
        found = {name: float(one.value) for name, one in recall.items()} | {"candidates": len(shown)}
        return found | shares | found  # a column's name may be one of these


def _summed(losses: dict[str, Tensor], options: BackboneOptions) -> dict[str, Tensor]:
    if "attributes" in losses:
        losses["attributes"] = options.column_loss_weight * losses["attributes"]
    return {"loss": torch.stack(list(losses.values())).sum(), **losses}


def _texts(model: AdaptedBackbone, batch: Mapping[str, Tensor]) -> Tensor:
    """Unit vectors [B,D] of a batch's texts."""
    return model.heads.texts(batch["vectors"], batch["input_ids"], batch["attention_mask"])


def _others(relevant: NDArray[np.bool_]) -> Tensor:
    """What is relevant besides the answers on the diagonal."""
    others = relevant.copy()
    np.fill_diagonal(others, False)
    return torch.from_numpy(others)


def _pairs_by_image(table: PairTable, images: int) -> list[NDArray[np.int64]]:
    order = np.argsort(table.rows, kind="stable")
    bounds = np.searchsorted(table.rows[order], np.arange(images + 1))
    return [order[start:end] for start, end in pairwise(bounds)]
