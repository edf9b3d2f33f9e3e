from dataclasses import replace

import numpy as np
import pytest
import torch

from interbert.data.collation import (
    LabelledCollator,
    LabelledItem,
    PretrainingCollator,
    RetrievalCollator,
    mask_of,
    pad,
)
from interbert.data.examples import PretrainingExample, RetrievalExample
from interbert.data.pairs import PairTable
from interbert.data.sampling import SampleKey
from interbert.losses.pretraining import flat_positions
from interbert.regions.schema import CaptionRow

PAD = 9


@pytest.fixture
def table():
    rows = [
        CaptionRow(row, f"p{row}", product, "", 0, row, (f"t{row}",), ("title",)) for row, product in enumerate("xyx")
    ]
    return PairTable.from_captions(rows)


def text(*ids):
    return np.array(ids, dtype=np.int64)


def image(tokens, value):
    return np.full((tokens, 3), value, dtype=np.float32), np.full((tokens, 5), value / 10, dtype=np.float32)


def pretraining_example(pair, tokens, regions, label=0):
    ids = np.arange(1, tokens + 1)
    return PretrainingExample(
        input_ids=ids,
        lm_labels=np.where(ids == 2, 2, -100),
        image=image(regions, pair + 1),
        masked_regions=np.arange(regions) == 1,
        region_targets=np.arange(regions, dtype=np.float16)[:, None] + np.full(4, 10 * pair, dtype=np.float16),
        matching_label=label,
        own_ids=np.arange(1, pair + 3),
        own_image=image(regions, -pair - 1),
        key=SampleKey(0, 0, pair),
    )


def test_pad_and_mask_agree():
    rows = [text(1, 2, 3), text(4), text(5, 6)]
    padded, mask = pad(rows, PAD), mask_of(rows)
    assert padded.tolist() == [[1, 2, 3], [4, PAD, PAD], [5, 6, PAD]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    assert padded.dtype == mask.dtype == torch.long


def test_pretraining_batches_are_padded_and_masked(table):
    examples = [pretraining_example(0, 4, 2), pretraining_example(1, 2, 5, label=1)]
    batch = PretrainingCollator(table, PAD, contrast=False)(examples)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4], [1, 2, PAD, PAD]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch["lm_labels"].tolist() == [[-100, 2, -100, -100], [-100, 2, -100, -100]]
    assert batch["region_mask"].tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]
    assert batch["region_features"].shape == (2, 5, 3)
    assert (batch["region_features"][0, 2:] == 0).all()
    assert (batch["region_features"][1] == 2).all()
    assert batch["region_locations"].shape == (2, 5, 5)
    assert batch["masked_regions"].dtype == torch.bool
    assert not batch["masked_regions"][0, 2:].any()
    assert batch["predicted_regions"].tolist() == [1]  # the second pair is none
    both = PretrainingCollator(table, PAD, contrast=False)([examples[0], pretraining_example(1, 2, 5)])
    assert both["predicted_regions"].tolist() == [1, 6]
    assert both["region_targets"].tolist() == [[1] * 4, [11] * 4]
    assert batch["region_targets"].tolist() == [[1, 1, 1, 1]]
    assert batch["matching_labels"].tolist() == [0, 1]
    assert not any(name.startswith("contrast") for name in batch)


def test_the_contrast_gets_unmasked_captions_and_images(table):
    examples = [pretraining_example(pair, 3, pair + 2) for pair in range(3)]
    batch = PretrainingCollator(table, PAD, contrast=True)(examples)
    assert batch["contrast_input_ids"].tolist() == [[1, 2, PAD, PAD], [1, 2, 3, PAD], [1, 2, 3, 4]]
    assert batch["contrast_attention_mask"].sum(dim=1).tolist() == [2, 3, 4]
    assert batch["contrast_region_features"].shape == batch["region_features"].shape
    assert (batch["contrast_region_features"][1, :3] == -2).all()
    assert batch["contrast_same"].tolist() == [[True, False, True], [False, True, False], [True, False, True]]


def test_retrieval_batches_lay_four_pairs_a_sample_side_by_side(table):
    examples = [
        RetrievalExample(
            tuple(text(*range(1, length + 1)) for length in (2, 3, 2, 1)),
            tuple(image(tokens, 10 * pair + tokens) for tokens in (2, 2, 3, 2)),
            (0, 1, 1, 1),
            SampleKey(0, 0, pair),
        )
        for pair in (0, 2)
    ]
    batch = RetrievalCollator(table, PAD, contrast=True)(examples)
    assert batch["attention_mask"].sum(dim=1).tolist() == [2, 3, 2, 1] * 2
    assert batch["region_mask"].sum(dim=1).tolist() == [2, 2, 3, 2] * 2
    assert batch["region_features"][:, 0, 0].tolist() == [2, 2, 3, 2, 22, 22, 23, 22]
    assert batch["matching_labels"].tolist() == [0, 1, 1, 1] * 2
    assert batch["contrast_rows"].tolist() == [0, 4]
    assert batch["real_tokens"].tolist() == [0, 1, 3, 4, 5, 6, 7, 9, 12, 13, 15, 16, 17, 18, 19, 21]
    assert batch["real_regions"].tolist() == flat_positions(batch["region_mask"]).tolist()
    assert batch["contrast_same"].all()
    assert "contrast_rows" not in RetrievalCollator(table, PAD, contrast=False)(examples)


def test_where_losses_are_taken_is_listed(table):
    examples = [pretraining_example(0, 4, 2), pretraining_example(1, 2, 5, label=1)]
    batch = PretrainingCollator(table, PAD, contrast=False)(examples)
    assert batch["predicted_tokens"].tolist() == [1, 5]
    assert batch["predicted_regions"].tolist() == [1]  # the other image's caption is not its own
    strict = PretrainingCollator(table, PAD, contrast=False, lm_on_mismatched=False)(examples)
    assert strict["predicted_tokens"].tolist() == [1]


def test_where_nothing_is_padded_is_listed(table):
    examples = [pretraining_example(0, 4, 2), pretraining_example(1, 2, 5, label=1)]
    batch = PretrainingCollator(table, PAD, contrast=True)(examples)
    assert batch["real_tokens"].tolist() == [0, 1, 2, 3, 4, 5]
    assert batch["real_regions"].tolist() == [0, 1, 5, 6, 7, 8, 9]
    assert batch["contrast_real_tokens"].tolist() == [0, 1, 3, 4, 5]
    labelled = LabelledCollator(PAD)
    item = LabelledItem((1, 2), image(1, 0), 0), LabelledItem((1,), image(2, 0), 1)
    assert labelled(item)["real_tokens"].tolist() == [0, 1, 2]
    assert labelled(item)["real_regions"].tolist() == [0, 2, 3]
    assert next(iter(batch)) == "input_ids"  # engines take its length for the batch's


def test_the_contrast_counts_the_pairs_of_all_processes(table):
    together = (0, 1, 2)
    examples = [replace(pretraining_example(1, 3, 2), key=SampleKey(0, 0, 1, together))]
    batch = PretrainingCollator(table, PAD, contrast=True)(examples)
    assert batch["contrast_same"].tolist() == [[True, False, True], [False, True, False], [True, False, True]]
