"""What a model predicts for pairs that it was not trained on, and how pages show it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from interbert.data.examples import PairData, PretrainingExample, PretrainingPairs
from interbert.data.masking import RegionMasking, SegmentMasking
from interbert.data.negatives import Negatives
from interbert.data.pairs import PairTable
from interbert.data.sampling import SampleKey
from interbert.losses.pretraining import IGNORE_LABEL
from interbert.model.modeling import InterBertForPreTraining
from interbert.model.processing import InterBertProcessor, pad_texts
from interbert.model.region_inputs import pad_images
from interbert.model.scoring import inference, on_device
from interbert.regions.schema import Regions
from interbert.report.runs import HeldOut


@dataclass(frozen=True)
class QueryResult:
    """One text and the images found for it.

    Attributes:
        text: the query.
        relevant: keys of the relevant images.
        rank: rank of the best relevant image.
        hits: (image key, probability), best first.
    """

    text: str
    relevant: frozenset[str]
    rank: int
    hits: tuple[tuple[str, float], ...]

    def missed(self, shown: Collection[str]) -> list[str]:
        """A relevant image that can be shown, when no hit is relevant."""
        found = any(key in self.relevant for key, _ in self.hits)
        return [] if found else sorted(self.relevant.intersection(shown))[:1]


def by_hash(texts: Sequence[str]) -> list[int]:
    """Places of texts in the order of their hash: what to show of many, so that nobody can have picked the good."""
    return sorted(range(len(texts)), key=lambda place: hashlib.sha256(texts[place].encode()).hexdigest())


@dataclass(frozen=True)
class Prediction:
    """One answer of the model, or the truth with the probability that the extractor gives it."""

    label: str
    probability: float


@dataclass(frozen=True)
class MaskedToken:
    """A token that was to be predicted.

    Attributes:
        place: among the caption's tokens.
        truth: what stands there.
        guesses: the model's best, best first.
    """

    place: int
    truth: str
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True)
class MaskedRegion:
    """A region that was to be predicted.

    Attributes:
        box: x1, y1, x2, y2 in pixels.
        truth: the extractor's top class; None when features are regressed.
        guesses: the model's best classes, best first.
        error: squared error of the feature, where features are regressed.
        chance: squared error of the average feature.
    """

    box: tuple[float, float, float, float]
    truth: Prediction | None = None
    predictions: tuple[Prediction, ...] = ()
    error: float | None = None
    chance: float | None = None


@dataclass(frozen=True)
class PairPredictions:
    """One pair.

    Attributes:
        row: of the store.
        text: the caption.
        tokens: of the caption, as the model saw them.
        hidden: those that it had to predict.
        regions: those that it had to predict.
        width, height: of the image, pixels.
        matches: probability that the whole caption belongs to the whole image.
        wrong: another pair's caption with the probability that it does; None when there is no other.
    """

    row: int
    text: str
    tokens: tuple[str, ...]
    hidden: tuple[MaskedToken, ...]
    regions: tuple[MaskedRegion, ...]
    width: int
    height: int
    matches: float
    mismatched: Prediction | None


def share_correct(pairs: Sequence[PairPredictions]) -> dict[str, tuple[int, int]]:
    """How often the first guess was right: what -> (right, of how many)."""
    tokens = [token for pair in pairs for token in pair.hidden]
    regions = [region for pair in pairs for region in pair.regions if region.truth is not None]
    mismatched = [pair.mismatched for pair in pairs if pair.mismatched is not None]
    matching = [pair.matches > 0.5 for pair in pairs] + [one.probability < 0.5 for one in mismatched]
    found = {
        "hidden tokens": [one.predictions[0].label == one.truth for one in tokens],
        "hidden regions": [one.truth is not None and one.predictions[0].label == one.truth.label for one in regions],
        "matches": matching,
    }
    return {name: (sum(correct), len(correct)) for name, correct in found.items() if correct}


TOP = 3
_DRAWS = 32
"""So many draws of masks are looked through for one that hides a token and a region."""


def predict_pairs(
    model: InterBertForPreTraining,
    processor: InterBertProcessor,
    held_out: HeldOut,
    recipe: Mapping[str, Any],
    count: int,
    names: Sequence[str] | None,
) -> list[PairPredictions]:
    """Let the model guess.

    Args:
        model: pretrained.
        processor: of the same directory.
        held_out: pairs; those shown are chosen by the hash of their text, one of each image.
        recipe: of the run, for its masking and seed.
        count: pairs at most.
        names: of the region classes; None shows numbers.
    """
    table = _chosen(held_out.table, count)
    data = PairData(table, held_out.store, processor, int(recipe["training"]["seed"]), held_out.store.path)
    examples = _masked(data, recipe["masking"], model.config.region_objective)
    batch = pad_texts([one.input_ids.tolist() for one in examples], processor.pad_token_id)
    batch |= pad_images([one.image for one in examples])
    with inference(model):
        output = model(**on_device(batch, model.device))
    matches, mismatched = _matching(model, processor, table, examples)
    regions = data.regions(table.rows.tolist())
    results = []
    for place, one in enumerate(examples):
        row = int(table.rows[place])
        results.append(
            PairPredictions(
                row=row,
                text=table.texts[place],
                tokens=tuple(processor.tokenizer.convert_ids_to_tokens(one.input_ids[1:-1].tolist())),
                hidden=_tokens(one, output.lm_logits[place], processor),
                regions=_regions(one, output.region_logits[place], regions[row], names, model.config.region_objective),
                width=regions[row].width,
                height=regions[row].height,
                matches=matches[place],
                mismatched=mismatched[place],
            )
        )
    return results


def _chosen(table: PairTable, count: int) -> PairTable:
    """The first pairs by hash, no two of one image or product, and no mirror images."""
    chosen: dict[int, int] = {}
    for place in by_hash(table.texts):
        if len(chosen) < count:
            chosen.setdefault(int(table.groups[place]), place)
    keep = np.isin(np.arange(len(table)), list(chosen.values()))
    return replace(table.select(keep), mirrored_rows=np.full(int(keep.sum()), -1))


def _masked(data: PairData, masking: Mapping[str, Any], objective: str) -> list[PretrainingExample]:
    """Each pair under its first draw that hides a token and a region; under the last one when none does."""
    pairs = PretrainingPairs(
        data,
        Negatives(data.table),
        lambda step: 0.0,
        SegmentMasking(
            masking["text"], masking["text_max_share"], masking.get("token_share", SegmentMasking.token_probability)
        ),
        RegionMasking(masking["regions"], masking.get("anchor_probability", RegionMasking.anchor_probability)),
        objective,
        mismatch_probability=0.0,
    )
    found: dict[int, PretrainingExample] = {}
    waiting = list(range(len(data.table)))
    for epoch in range(_DRAWS):
        found |= dict(zip(waiting, pairs.__getitems__([SampleKey(epoch, 0, pair) for pair in waiting]), strict=True))
        waiting = [pair for pair in waiting if not _hides_both(found[pair])]
        if not waiting:
            break
    return [found[pair] for pair in range(len(data.table))]


def _hides_both(example: PretrainingExample) -> bool:
    return bool((example.lm_labels != IGNORE_LABEL).any() and example.masked_regions.any())


def _matching(
    model: InterBertForPreTraining,
    processor: InterBertProcessor,
    table: PairTable,
    examples: Sequence[PretrainingExample],
) -> tuple[list[float], list[Prediction | None]]:
    """Match probability of each whole image with its own caption, and with the next pair's."""
    following = [*range(1, len(examples)), 0]
    images = pad_images([one.own_image for one in examples])
    probabilities = []
    for order in (range(len(examples)), following):
        texts = pad_texts([examples[place].own_ids.tolist() for place in order], processor.pad_token_id)
        with inference(model):
            logits = model(**on_device(texts | images, model.device)).matching_logits
        probabilities.append(logits.float().softmax(dim=-1)[:, 0].tolist())
    mismatched = [
        None
        if table.is_relevant(text_of=other, image_of=place)
        else Prediction(table.texts[other], probabilities[1][place])
        for place, other in enumerate(following)
    ]
    return probabilities[0], mismatched


def _tokens(example: PretrainingExample, logits: Tensor, processor: InterBertProcessor) -> tuple[MaskedToken, ...]:
    name = processor.tokenizer.convert_ids_to_tokens
    return tuple(
        MaskedToken(
            place=int(position) - 1,  # [CLS] stands before
            truth=name(int(example.lm_labels[position])),
            predictions=tuple(Prediction(name(token), probability) for token, probability in _best(logits[position])),
        )
        for position in np.flatnonzero(example.lm_labels != IGNORE_LABEL)
    )


def _regions(
    example: PretrainingExample,
    logits: Tensor,
    regions: Regions,
    names: Sequence[str] | None,
    objective: str,
) -> tuple[MaskedRegion, ...]:
    hidden = []
    for token in np.flatnonzero(example.masked_regions):
        box = _box(regions.boxes[token - 1])  # the global token stands before
        target = example.region_targets[token].astype(np.float64)
        if objective == "regress":
            error = float(np.square(logits[token].float().cpu().numpy() - target).sum())
            hidden.append(MaskedRegion(box, error=error, chance=float(np.square(target).sum())))
            continue
        top = int(target.argmax())
        predictions = tuple(Prediction(_name(place, names), share) for place, share in _best(logits[token]))
        hidden.append(MaskedRegion(box, Prediction(_name(top, names), float(target[top])), predictions))
    return tuple(hidden)


def _box(values: NDArray[Any]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = values.tolist()
    return x1, y1, x2, y2


def _name(place: int, names: Sequence[str] | None) -> str:
    return f"class {place}" if names is None else names[place]


def _best(logits: Tensor) -> list[tuple[int, float]]:
    shares, places = logits.float().softmax(dim=-1).topk(min(TOP, len(logits)))
    return list(zip(places.tolist(), shares.tolist(), strict=True))
