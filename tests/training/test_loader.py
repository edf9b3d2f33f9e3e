"""Batches on their way to a GPU, as a CPU sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import tiny_config
from tests.model.test_modeling import batch as made_up_batch
from tests.model.test_packing_for_kernel import contrast_of, labels_of, steady_config, trained

from interbert.data.sampling import EpochBatches
from interbert.model.modeling import InterBertForPreTraining
from interbert.training.loader import batch_loader


class Numbers(torch.utils.data.Dataset):
    """Examples that are their own keys."""

    def __getitems__(self, keys: Sequence[Any]) -> list[Any]:
        return list(keys)


def inputs() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    found = made_up_batch()
    return found | labels_of(found) | contrast_of(found)


def collate(examples: Sequence[Any]) -> dict[str, torch.Tensor]:
    return inputs() | {"pairs": torch.tensor([one.pair for one in examples])}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("for_gpu", "bf16"), [(True, True), (True, False), (False, True)])
def test_only_a_gpu_that_computes_in_bf16_gets_its_features_in_it(workers: int, for_gpu: bool, bf16: bool) -> None:
    order = EpochBatches(np.full(10, 5), 4, 0)
    loaded = list(batch_loader(Numbers(), order, collate, workers, for_gpu, bf16))
    assert sorted(pair for batch in loaded for pair in batch["pairs"].tolist()) == list(range(10))
    wanted = inputs()
    for name, value in loaded[0].items():
        narrow = name in ("region_features", "contrast_region_features") and for_gpu and bf16
        if name != "pairs":
            torch.testing.assert_close(value, wanted[name].bfloat16() if narrow else wanted[name], rtol=0, atol=0)


def test_the_model_makes_the_same_of_them() -> None:
    model = InterBertForPreTraining(steady_config(contrastive_size=8)).train()
    order = EpochBatches(np.full(4, 5), 4, 0)
    results = []
    for for_gpu in (False, True):
        (loaded,) = batch_loader(Numbers(), order, collate, 0, for_gpu, bf16=True)
        del loaded["pairs"]
        model.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = trained(model)(**loaded)["loss"]
        loss.backward()
        results.append([loss.detach(), *(value.grad for value in model.parameters() if value.grad is not None)])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
    assert tiny_config().region_feature_dropout_prob == 0  # with it they are rounded before and after
