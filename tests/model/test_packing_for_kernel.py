from functools import partial

import pytest
import torch
from tests.conftest import tiny_config
from tests.model.test_modeling import batch
from tests.model.test_packing import labels_of as labels_of_model
from tests.model.test_packing import mask_of

from interbert.losses.pretraining import flat_positions
from interbert.model import modeling
from interbert.model.modeling import (
    InterBertForImageTextRetrieval,
    InterBertForPreTraining,
    InterBertForSequenceClassification,
    InterBertModel,
)
from interbert.model.packing import PADDED, Packings
from interbert.model.varlen import Sequences
from interbert.tasks.base import TaskModule
from interbert.tasks.classification import classification_losses
from interbert.tasks.pretraining import pretraining_losses
from interbert.tasks.retrieval import retrieval_losses

NO_DROPOUT = dict.fromkeys(
    (
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "image_hidden_dropout_prob",
        "image_attention_probs_dropout_prob",
        "fusion_dropout_prob",
    ),
    0.0,
)


def attend(query, key, value, query_starts, key_starts, longest_query, longest_key, /, *, dropout_p):
    """What the kernels compute, for any device and type; it looks at no value, as they don't."""
    assert dropout_p == 0
    sides = []
    for rows, starts, longest in ((query, query_starts, longest_query), (key, key_starts, longest_key)):
        assert rows.ndim == 3
        assert starts.dtype == torch.int32
        torch._assert_async((starts.diff() <= longest).all() & (starts.diff() > 0).all() & (starts[-1] == len(rows)))
        sides.append(
            torch.searchsorted(starts[1:].contiguous(), torch.arange(len(rows), device=rows.device), right=True)
        )
    other = sides[0][:, None] != sides[1]
    scores = torch.einsum("qad,kad->aqk", query, key) * query.shape[-1] ** -0.5
    return torch.einsum("aqk,kad->qad", scores.masked_fill(other, float("-inf")).softmax(-1), value)


sequences_of = partial(Sequences.of, kernel=attend)


@pytest.fixture
def kernel(monkeypatch):
    """Take the way of CUDA on any device; returns the longest query of every call of the kernel."""
    torch.manual_seed(0)
    calls = []

    def counted(*inputs, dropout_p):
        calls.append(inputs[5])
        return attend(*inputs, dropout_p=dropout_p)

    monkeypatch.setattr(modeling, "varlen_kernel", lambda *_: counted)
    return calls


def real_of(inputs):
    """What the collators add to a batch."""
    masks = {"attention_mask": "real_tokens", "region_mask": "real_regions"}
    return {name: flat_positions(inputs[mask]) for mask, name in masks.items() if mask in inputs}


def labels_of(inputs):
    """Labels as the collator lists them, with their places."""
    labels = labels_of_model(inputs)
    regions = flat_positions(labels["masked_regions"], labels["matching_labels"])
    return labels | {
        "predicted_tokens": flat_positions(labels["lm_labels"] != -100),
        "predicted_regions": regions,
        "region_targets": labels["region_targets"].flatten(0, 1)[regions],
    }


def contrast_of(inputs):
    return {
        "contrast_input_ids": inputs["input_ids"].flip(0),
        "contrast_attention_mask": inputs["attention_mask"].flip(0),
        "contrast_region_features": inputs["region_features"] * 0.5,
    }


LOSSES = {
    InterBertForPreTraining: pretraining_losses,
    InterBertForImageTextRetrieval: retrieval_losses,
    InterBertForSequenceClassification: classification_losses,
}


def trained(model):
    """The model with the losses of its task."""
    return TaskModule(model, LOSSES[type(model)])


def results(module, inputs):
    """Losses, and all gradients in one row."""
    module.zero_grad()
    losses = module(**inputs)
    losses["loss"].backward()
    losses = {name: value.detach() for name, value in losses.items()}
    return losses, torch.cat([value.grad.flatten() for value in module.parameters()])


def steady_config(**values):
    """Without dropout, and with weights that do not magnify rounding as the tiny model's large ones do."""
    return tiny_config(initializer_range=0.1, **NO_DROPOUT, **values)


def both_ways(model, inputs, real, kernel):
    """Check that the packed batch gives the padded one's losses and gradients; returns the kernel's longest queries."""
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-7)):
        model.to(dtype)
        inputs = {name: value.to(dtype) if value.is_floating_point() else value for name, value in inputs.items()}
        kernel.clear()
        losses, gradients = results(trained(model), inputs | real)
        asked = kernel.copy()
        padded_losses, padded_gradients = results(trained(model), inputs)
        assert kernel == asked != []
        torch.testing.assert_close(losses, padded_losses, rtol=tolerance, atol=tolerance)
        assert (gradients - padded_gradients).norm() <= tolerance * padded_gradients.norm()
    return asked


@pytest.mark.parametrize("sides", ["text", "image", "both", "no text mask", "no region mask", "bool", "holes"])
def test_hidden_states_are_those_of_the_padded_batch_and_zero_at_padding(sides, kernel):
    model = InterBertModel(tiny_config()).eval()
    inputs = batch()
    if sides in ("text", "image"):
        inputs = {name: value for name, value in inputs.items() if name.startswith("region") == (sides == "image")}
    if sides.startswith("no"):
        del inputs["attention_mask" if sides == "no text mask" else "region_mask"]
    if sides == "bool":
        inputs = {name: value.bool() if name.endswith("mask") else value for name, value in inputs.items()}
    if sides == "holes":
        inputs["attention_mask"][:, 1] = 0
        inputs["region_mask"][1] = torch.tensor([1, 0, 0, 0, 1, 1])
    with torch.no_grad():
        packed = model.encode(**inputs, **real_of(inputs))
        assert kernel == {"text": [8, 8, 8], "image": [6, 6, 6]}.get(sides, [14, 14, 6, 8])
        pooled = model.encode(**inputs, **real_of(inputs), pooled_only=True)
        assert kernel.count(1) == (1 if sides in ("text", "image") else 2)  # the last layer of each side
        kernel.clear()
        padded = model(**inputs)
    assert not kernel
    for side, mask in (("text", "attention_mask"), ("image", "region_mask")):
        expected = padded.get(f"{side}_hidden_state")
        if expected is not None:
            expected = expected * inputs.get(mask, torch.ones(expected.shape[:2]))[..., None]
            torch.testing.assert_close(packed[f"{side}_hidden_state"], expected, rtol=0, atol=1e-5)
            torch.testing.assert_close(pooled[f"{side}_hidden_state"], expected[:, :1], rtol=0, atol=1e-5)
            torch.testing.assert_close(pooled[f"{side}_pooled"], padded[f"{side}_pooled"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("pooled_only", [True, False])
@pytest.mark.parametrize("layers", ["num_text_layers", "num_image_layers", "num_interaction_layers"])
def test_a_part_without_layers(layers, pooled_only, kernel):
    model = InterBertModel(tiny_config(**{layers: 0})).eval()
    inputs = batch()
    with torch.no_grad():
        packed = model.encode(**inputs, **real_of(inputs), pooled_only=pooled_only)
        assert kernel
        padded = model(**inputs)
    torch.testing.assert_close(packed.text_pooled, padded.text_pooled, rtol=0, atol=1e-5)
    torch.testing.assert_close(packed.image_pooled, padded.image_pooled, rtol=0, atol=1e-5)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_pretraining_gets_the_losses_and_gradients_of_the_padded_batch(checkpointing, kernel):
    model = InterBertForPreTraining(steady_config(contrastive_size=8)).train()
    if checkpointing:
        model.activation_checkpointing_enable()
    inputs = batch()
    inputs |= labels_of(inputs) | contrast_of(inputs)
    real = real_of(inputs) | {"contrast_real_tokens": flat_positions(inputs["contrast_attention_mask"])}
    asked = both_ways(model, inputs, real, kernel)
    assert asked.count(1) == 2 + 2 * checkpointing  # the contrast's sides, each computed again for its gradients


@pytest.mark.parametrize("kind", ["contrast", "in batch", "dual prior"])
def test_fine_tuning_gets_the_losses_and_gradients_of_the_padded_batch(kind, kernel):
    prior = {"dual_score_weight": 2.0} if kind == "dual prior" else {}
    model = InterBertForImageTextRetrieval(steady_config(contrastive_size=8, **prior)).train()
    inputs = batch() | {"matching_labels": torch.tensor([0, 1, 0])}
    if kind == "in batch":
        inputs |= {
            "negative_draws": torch.rand(3, 2, 3, generator=torch.Generator().manual_seed(0)),
            "negative_hardness": torch.tensor(0.5),
            "negative_same": torch.eye(3, dtype=torch.bool),
        }
    inputs |= {"contrast_rows": torch.tensor([0, 2]), "contrast_same": torch.eye(2 + (kind == "in batch")).bool()}
    asked = both_ways(model, inputs, real_of(inputs), kernel)
    assert set(asked) == ({1, 6, 8} if kind == "in batch" else {1, 6, 8, 14} if kind == "dual prior" else {1, 14})


def test_classification_gets_the_losses_and_gradients_of_the_padded_batch(kernel):
    model = InterBertForSequenceClassification(steady_config(num_labels=3)).train()
    inputs = batch() | {"labels": torch.tensor([0, 2, 1])}
    assert both_ways(model, inputs, real_of(inputs), kernel) == [14, 14, 1, 1]


@pytest.mark.parametrize("missing", ["real_tokens", "real_regions", "nothing", "masks"])
def test_what_is_not_known_or_not_padded_stays_padded(missing, kernel):
    text_mask, image_mask = mask_of([3, 1], 3), mask_of([2, 1], 2)
    if missing == "nothing":
        text_mask, image_mask = torch.ones_like(text_mask), torch.ones_like(image_mask)
    real = {"real_tokens": flat_positions(text_mask), "real_regions": flat_positions(image_mask)}
    real |= {missing: None} if missing in real else {}
    masks = (None, None) if missing == "masks" else (text_mask, image_mask)
    assert Packings.for_kernel(*masks, **real, sequences_of=sequences_of) is PADDED


def test_one_padded_side_is_enough():
    text_mask, image_mask = mask_of([3, 3], 3), mask_of([2, 1], 2)
    packings = Packings.for_kernel(text_mask, image_mask, torch.arange(6), flat_positions(image_mask), sequences_of)
    assert packings.joint.sequences.starts.tolist() == [0, 5, 9]
    assert packings.joint.slots.tolist() == [0, 1, 2, 3, 4, 5, 7, 8, 9]
    assert packings.joint.first.tolist() == [0, 5]
    text, image = (flat_positions(mask)[:, None].float() for mask in (text_mask, image_mask))
    joint = packings.interleave(torch.cat([image, -text]))
    assert joint.flatten().tolist() == [0, 1, -0, -1, -2, 2, -3, -4, -5]
    assert packings.part(joint).tolist() == torch.cat([image, -text]).tolist()


def test_no_value_is_looked_at(kernel):
    """On the meta device there are none: an operation that would make a GPU wait for one fails."""
    no_dropout = {name: 0.0 for name in NO_DROPOUT if "attention" in name}
    model = InterBertForPreTraining(tiny_config(contrastive_size=8, **no_dropout)).train()
    inputs = batch()
    inputs |= labels_of(inputs) | contrast_of(inputs)
    inputs |= real_of(inputs) | {"contrast_real_tokens": flat_positions(inputs["contrast_attention_mask"])}
    inputs |= {"contrast_same": torch.eye(3, dtype=torch.bool), "predicted_counts": torch.tensor([5.0, 3.0])}
    on_meta = {name: value.to("meta") for name, value in inputs.items()}
    model.to("meta")
    trained(model)(**on_meta)["loss"].backward()
    assert kernel
    with pytest.raises((RuntimeError, NotImplementedError)):  # as the model alone would, which looks for places
        model(**{name: value.to("meta") for name, value in (batch() | labels_of_model(batch())).items()})


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_encoder_asks_for_what_its_layers_are(attention, monkeypatch):
    asked = []
    monkeypatch.setattr(modeling, "varlen_kernel", lambda *inputs: asked.append(inputs))
    config = tiny_config(attention_probs_dropout_prob=0.1, image_attention_probs_dropout_prob=0.2)
    model = InterBertModel._from_config(config, attn_implementation=attention)
    inputs = batch()
    heads = [config.hidden_size // config.num_attention_heads, config.hidden_size // config.image_num_attention_heads]
    model.train().encode(**inputs, **real_of(inputs), pooled_only=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model.eval().encode(**inputs, **real_of(inputs), pooled_only=True)
    cpu = torch.device("cpu")
    expected = [(cpu, torch.float32, 0.2, heads), (cpu, torch.bfloat16, 0.0, heads)]
    assert asked == (expected if attention == "sdpa" else [])  # eager is what the user wants to compute step by step
