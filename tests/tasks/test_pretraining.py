import pytest
import torch
from tests.conftest import tiny_config
from tests.model.test_modeling import batch
from tests.model.test_packing import labels_of as labels_of_model
from tests.model.test_packing_for_kernel import contrast_of, labels_of, real_of

from interbert.model.modeling import InterBertForPreTraining
from interbert.tasks.pretraining import pretraining_losses


@pytest.mark.parametrize("objective", ["classify", "regress"])
def test_the_losses_are_those_of_the_models_forward_with_labels(objective):
    model = InterBertForPreTraining(tiny_config(region_objective=objective, region_feature_size=7)).train()
    inputs = batch()
    inputs["region_features"] = inputs["region_features"][..., :7]
    found = []
    for run in (
        lambda: model(**inputs, **labels_of_model(inputs)),
        lambda: pretraining_losses(model, inputs | labels_of(inputs) | real_of(inputs)),
    ):
        torch.manual_seed(0)
        model.zero_grad()
        losses = run()
        losses["loss"].backward()
        found.append([losses[name] for name in ("loss", "lm_loss", "region_loss", "matching_loss")])
        found[-1] += [value.grad for value in model.parameters()]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*found, strict=True))


def test_sums_are_divided_by_the_places_of_a_whole_step():
    model = InterBertForPreTraining(tiny_config(contrastive_size=8)).eval()
    inputs = batch()
    inputs |= labels_of(inputs) | contrast_of(inputs)
    own = len(inputs["predicted_tokens"]), len(inputs["predicted_regions"])
    with torch.no_grad():
        alone = pretraining_losses(model, inputs)
        shared = pretraining_losses(model, inputs | {"predicted_counts": torch.tensor(own) * torch.tensor([2.0, 4.0])})
    torch.testing.assert_close(shared["lm_loss"], alone["lm_loss"] / 2)
    torch.testing.assert_close(shared["region_loss"], alone["region_loss"] / 4)
    for name in ("matching_loss", "contrastive_loss"):
        torch.testing.assert_close(shared[name], alone[name])
