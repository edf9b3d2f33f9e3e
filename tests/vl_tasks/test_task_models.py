"""The models that tasks need beside those of the reference: two images, a choice of regions, several tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.conftest import tiny_config
from torch import nn
from transformers import AutoModelForSequenceClassification

from interbert import InterBertForImagePairClassification, InterBertForMultiTask, InterBertForRegionChoice
from interbert.model.image_pairs import CrossAttention
from interbert.model.region_choice import region_choice_loss

ARRANGEMENTS = ["pair", "pair_attention"]


def inputs(images: int) -> dict[str, torch.Tensor]:
    """Two items of 5 tokens and 4 image tokens, some of them padding."""
    draw = torch.Generator().manual_seed(0)
    shape = (2, images, 4) if images > 1 else (2, 4)
    mask = torch.ones(shape, dtype=torch.long)
    mask[1, ..., 3] = 0
    return {
        "input_ids": torch.randint(1, 60, (2, 5), generator=draw),
        "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
        "region_features": torch.randn(*shape, 10, generator=draw),
        "region_locations": torch.rand(*shape, 5, generator=draw),
        "region_mask": mask,
    }


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_both_images_count_and_padding_does_not(arrangement: str) -> None:
    torch.manual_seed(0)
    model = InterBertForImagePairClassification(tiny_config(image_arrangement=arrangement, num_labels=2)).eval()
    given = inputs(2)
    with torch.no_grad():
        logits = model(**given).logits
        assert logits.shape == (2, 2)
        padded = dict(given, region_features=given["region_features"].clone(), input_ids=given["input_ids"].clone())
        padded["region_features"][1, :, 3] = 7.0
        padded["input_ids"][1, 3:] = 9
        assert torch.allclose(model(**padded).logits, logits, atol=1e-5)
        for image in (0, 1):
            other = dict(given, region_features=given["region_features"].clone())
            other["region_features"][:, image] += 1.0
            assert not torch.allclose(model(**other).logits, logits, atol=1e-3)


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_an_image_pair_model_is_found_by_its_directory(arrangement: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = InterBertForImagePairClassification(tiny_config(image_arrangement=arrangement, num_labels=2)).eval()
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert type(again) is InterBertForImagePairClassification
    with torch.no_grad():
        assert torch.equal(again(**inputs(2)).logits, model(**inputs(2)).logits)


def test_attention_over_the_other_reading_is_torchs() -> None:
    torch.manual_seed(0)
    config = tiny_config()
    own = CrossAttention(config)
    theirs = nn.MultiheadAttention(config.hidden_size, config.num_attention_heads, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([own.query.weight, own.key.weight, own.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([own.query.bias, own.key.bias, own.value.bias]))
        theirs.out_proj.load_state_dict(own.output.state_dict())
        first, second = torch.randn(2, 3, 7, config.hidden_size)
        mask = torch.arange(7)[None] < torch.tensor([[7], [4], [2]])
        wanted, _ = theirs(first, second, second, key_padding_mask=~mask)
        assert torch.allclose(own(first, second, mask), wanted, atol=1e-5)


def test_regions_are_chosen_without_the_global_token() -> None:
    torch.manual_seed(0)
    model = InterBertForRegionChoice(tiny_config()).eval()
    with torch.no_grad():
        logits = model(**inputs(1)).logits
    assert logits.shape == (2, 3)
    assert logits[1, 2] == -10000
    assert logits[:, :2].abs().max() < 100


def test_the_loss_of_a_choice_is_summed_over_regions_and_averaged_over_items() -> None:
    logits = torch.tensor([[0.5, -1.0, -10000.0], [2.0, 0.0, 1.0]])
    targets = torch.tensor([[0.7, 0.0, 0.0], [0.0, 1.0, 0.0]])
    by_hand = sum(
        -(t * torch.log(torch.sigmoid(x)) + (1 - t) * torch.log(1 - torch.sigmoid(x)))
        for x, t in zip(logits.flatten(), targets.flatten(), strict=True)
        if x > -100
    )
    assert torch.allclose(region_choice_loss(logits, targets), by_hand / 2)


def test_heads_of_several_tasks_compute_with_one_trunk(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tasks = {
        "snli-ve": {"model_class": "InterBertForSequenceClassification", "labels": ["a", "b", "c"]},
        "refcoco": {"model_class": "InterBertForRegionChoice", "labels": []},
    }
    settings = {name: one | {"image_arrangement": "pair"} for name, one in tasks.items()}
    model = InterBertForMultiTask(tiny_config(vl_task={"tasks": settings})).eval()
    names = list(model.state_dict())
    assert not [name for name in names if ".interbert." in name]
    assert {name.split(".")[1] for name in names if name.startswith("heads.")} == set(tasks)
    model.save_pretrained(tmp_path)
    again = InterBertForMultiTask.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        for name, width in (("snli-ve", 3), ("refcoco", 3)):
            first, second = model(name, **inputs(1)).logits, again(name, **inputs(1)).logits
            assert first.shape == (2, width)
            assert torch.equal(first, second)
        again.interbert.text_embeddings.word_embeddings.weight.mul_(2)
        assert not torch.equal(model("snli-ve", **inputs(1)).logits, again("snli-ve", **inputs(1)).logits)
