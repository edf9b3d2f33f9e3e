"""Training examples: what one sample of one epoch looks like once every draw is made.

Each data set turns sample keys into examples; every draw (mask, mismatch, negative, mirror) comes from a generator
that belongs to the sample and the epoch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from interbert.data.masking import RegionMasking, SegmentMasking, draw_mismatch, hide_regions
from interbert.data.negatives import Negatives
from interbert.data.pairs import PairTable
from interbert.data.sampling import SampleKey, sample_generator
from interbert.data.texts import flat_ids
from interbert.losses.pretraining import MATCH, MISMATCH
from interbert.regions.schema import Regions
from interbert.utils.stored_names import RegionArrays

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


Example = TypeVar("Example")


class Store(Protocol):
    """Where regions come from."""

    def take(self, rows: Sequence[int]) -> list[Regions]:
        """Regions of rows, in the asked order."""


class Encoder(Protocol):
    """Texts and regions to model inputs (an ``InterBertProcessor``)."""

    tokenizer: Any

    def texts_to_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids with [CLS] and [SEP]."""

    def image_inputs(self, regions: Regions, where: str = "regions") -> RegionArrays:
        """One image's inputs."""


@dataclass(frozen=True)
class PretrainingExample:
    """A masked, perhaps mismatched pair, and its image with its own caption unmasked."""

    input_ids: Int64
    lm_labels: Int64
    image: RegionArrays
    masked_regions: NDArray[np.bool_]
    """[R]"""
    region_targets: NDArray[Any]
    """[R,C] or [R,F]"""
    matching_label: int
    own_ids: Int64
    own_image: RegionArrays
    key: SampleKey


@dataclass(frozen=True)
class InBatchDraws:
    """What a true pair chooses its negatives from its batch by."""

    draws: Float32
    """[2,K] numbers in (0,1): for its wrong image and its wrong text."""
    hardness: float
    """0 chooses evenly, 1 as the dual encoder confuses them."""


@dataclass(frozen=True)
class RetrievalExample:
    """A true pair and three false ones (SPEC part 4), or the true pair alone: their texts and images."""

    texts: tuple[Int64, ...]
    images: tuple[RegionArrays, ...]
    labels: tuple[int, ...]
    key: SampleKey
    in_batch: InBatchDraws | None = None


class PairData:
    """What both data sets share: the table, its tokens and its regions."""

    def __init__(self, table: PairTable, store: Store, encoder: Encoder, seed: int, where: str) -> None:
        self.table = table
        self.encoder = encoder
        self.seed = seed
        self.ids = flat_ids(encoder, table.texts)
        self._store = store
        self._where = where

    @property
    def lengths(self) -> Int64:
        """[n] tokens of each pair's text."""
        return self.ids.lengths

    def draws(self, key: SampleKey, purpose: str) -> np.random.Generator:
        """The generator of one decision about one sample."""
        sample = f"{key.pair}, visit {key.visit}" if key.visit else key.pair
        return sample_generator(self.seed, key.epoch, sample, purpose)

    def row(self, pair: int, generator: np.random.Generator) -> int:
        """The image as it is, or its mirror image where there is one, evenly."""
        mirrored = int(self.table.mirrored_rows[pair])
        return mirrored if mirrored >= 0 and generator.random() < 0.5 else int(self.table.rows[pair])

    def regions(self, rows: Sequence[int]) -> dict[int, Regions]:
        """Regions of rows, each read once."""
        unique = sorted(set(rows))
        return dict(zip(unique, self._store.take(unique), strict=True))

    def image(self, regions: Regions, row: int) -> RegionArrays:
        """Model inputs of an image."""
        return self.encoder.image_inputs(regions, f"{self._where}, row {row}")


class _Examples(Dataset[Example], ABC):
    """Examples of pairs by sample key, one or a batch of them."""

    def __init__(self, data: PairData) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data.table)

    def __getitem__(self, key: SampleKey) -> Example:
        return self.__getitems__([key])[0]

    @abstractmethod
    def __getitems__(self, keys: Sequence[SampleKey]) -> list[Example]:
        """Examples of a batch; the store is read once."""


class _OfOneImage(_Examples[Example]):
    """Pairs of which an example shows one image: its own."""

    def __getitems__(self, keys: Sequence[SampleKey]) -> list[Example]:
        rows = [self.data.row(key.pair, self.data.draws(key, "mirror")) for key in keys]
        regions = self.data.regions(rows)
        return [self._example(key, row, regions[row], len(keys)) for key, row in zip(keys, rows, strict=True)]

    @abstractmethod
    def _example(self, key: SampleKey, row: int, regions: Regions, batch: int) -> Example:
        """One sample of a batch of so many, with its image's row and regions."""


class PretrainingPairs(_OfOneImage[PretrainingExample]):
    """Pairs masked and mismatched for pretraining.

    Args:
        data: pairs, tokens, regions.
        negatives: wrong captions.
        hard: share of hard ones among mismatches, by step.
        text_masking: how tokens are hidden.
        region_masking: how regions are hidden.
        objective: ``classify`` or ``regress``.
        mismatch_probability: share of pairs with another image's caption.
    """

    def __init__(
        self,
        data: PairData,
        negatives: Negatives,
        hard: Callable[[int], float],
        text_masking: SegmentMasking,
        region_masking: RegionMasking,
        objective: str = "classify",
        mismatch_probability: float = 0.5,
    ) -> None:
        super().__init__(data)
        self._negatives = negatives
        self._hard = hard
        self._text_masking = text_masking
        self._region_masking = region_masking
        self._objective = objective
        self._mismatch = mismatch_probability
        tokenizer = data.encoder.tokenizer
        self._mask_id = int(tokenizer.mask_token_id)
        self._is_token = np.ones(len(tokenizer), dtype=bool)
        self._is_token[tokenizer.all_special_ids] = False
        self._tokens = self._is_token.nonzero()[0]

    def _example(self, key: SampleKey, row: int, regions: Regions, batch: int) -> PretrainingExample:
        data = self.data
        generator = data.draws(key, "match")
        caption, label = key.pair, MATCH
        if draw_mismatch(generator, self._mismatch):
            hard = generator.random() < self._hard(key.step)
            caption, label = self._negatives.draw(key.pair, "caption", hard, generator), MISMATCH
        ids = data.ids[caption]
        text = self._text_masking(ids, self._is_token[ids], self._mask_id, self._tokens, data.draws(key, "text mask"))
        hidden = self._region_masking(regions.boxes, regions.width, regions.height, data.draws(key, "region mask"))
        own_image = data.image(regions, row)
        return PretrainingExample(
            input_ids=text.input_ids,
            lm_labels=text.labels,
            image=hide_regions(own_image, hidden.zeroed),
            masked_regions=np.concatenate([[False], hidden.predicted]),
            region_targets=self._targets(regions, own_image),
            matching_label=label,
            own_ids=data.ids[key.pair],
            own_image=own_image,
            key=key,
        )

    def _targets(self, regions: Regions, image: RegionArrays) -> NDArray[Any]:
        """One row per image token; the global token's is never read."""
        if self._objective == "regress" or regions.class_probs is None:
            return image[0]
        probabilities = regions.class_probs
        return np.concatenate([np.zeros_like(probabilities[:1]), probabilities])


class RetrievalPairs(_Examples[RetrievalExample]):
    """True pairs with three false ones each: a random caption, another image, a hard caption (SPEC part 4).

    Args:
        data: pairs, tokens, regions.
        negatives: wrong captions and images.
        hard: by step, the share of the third pair's captions, and of the second's images, that are hard.
    """

    def __init__(self, data: PairData, negatives: Negatives, hard: Callable[[int], float]) -> None:
        super().__init__(data)
        self._negatives = negatives
        self._hard = hard

    def __getitems__(self, keys: Sequence[SampleKey]) -> list[RetrievalExample]:
        plans = [self._plan(key) for key in keys]
        regions = self.data.regions([row for rows, _ in plans for row in rows])
        images = {row: self.data.image(one, row) for row, one in regions.items()}
        examples = []
        for key, ((own, other), captions) in zip(keys, plans, strict=True):
            ids = self.data.ids
            examples.append(
                RetrievalExample(
                    texts=(ids[key.pair], ids[captions[0]], ids[key.pair], ids[captions[1]]),
                    images=(images[own], images[own], images[other], images[own]),
                    labels=(MATCH, MISMATCH, MISMATCH, MISMATCH),
                    key=key,
                )
            )
        return examples

    def _plan(self, key: SampleKey) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows of the own and the other image, and the pairs that lend the two wrong captions."""
        generator = self.data.draws(key, "negatives")
        share = self._hard(key.step)
        random_caption = self._negatives.draw(key.pair, "caption", False, generator)
        image = self._negatives.draw(key.pair, "image", generator.random() < share, generator)
        hard_caption = self._negatives.draw(key.pair, "caption", generator.random() < share, generator)
        rows = (self.data.row(key.pair, generator), self.data.row(image, generator))
        return rows, (random_caption, hard_caption)


class TruePairs(_OfOneImage[RetrievalExample]):
    """True pairs that find their negatives in their batch.

    Args:
        data: pairs, tokens, regions.
        hard: by step, how hard the negatives are, from 0 to 1.
    """

    def __init__(self, data: PairData, hard: Callable[[int], float]) -> None:
        super().__init__(data)
        self._hard = hard

    def _example(self, key: SampleKey, row: int, regions: Regions, batch: int) -> RetrievalExample:
        draws = self.data.draws(key, "in batch").random((2, batch), dtype=np.float32)
        return RetrievalExample(
            texts=(self.data.ids[key.pair],),
            images=(self.data.image(regions, row),),
            labels=(MATCH,),
            key=key,
            in_batch=InBatchDraws(draws, self._hard(key.step)),
        )
