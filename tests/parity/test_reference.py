"""Our model against tensors of the reference implementation (SPEC part 7)."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from interbert.checkpoints.adapter import config_from_reference, from_reference, reference_names, to_reference
from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import InterBertForPreTraining, InterBertForVLTasks

FIXTURES = Path(__file__).parents[1] / "fixtures"
TAGS = ("tiny", "tiny_regress")
ATTENTION = ("eager", "sdpa")


def golden(tag, part):
    return load_file(FIXTURES / f"{tag}_{part}.safetensors")


def reference_config(tag, attention, **values):
    config = config_from_reference(json.loads((FIXTURES / f"{tag}_config.json").read_text()))
    for name, value in values.items():
        setattr(config, name, value)
    config._attn_implementation = attention
    return config


def load(model, tag, part):
    state, unknown = from_reference(golden(tag, part), model.config)
    assert unknown == []
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert unexpected == []
    return model.eval(), missing


def model_inputs(inputs):
    names = (
        "input_ids",
        "attention_mask",
        "token_type_ids",
        "region_features",
        "region_locations",
        "region_mask",
    )
    return {name: inputs[name] for name in names}


def training_inputs(inputs):
    """The reference's labels in our form: -100 for ignored tokens, the global token in front of region labels."""
    masked = inputs["region_label"] == 1
    target = inputs["region_target"]
    return {
        "lm_labels": inputs["lm_labels"].masked_fill(inputs["lm_labels"] == -1, -100),
        "masked_regions": torch.nn.functional.pad(masked, (1, 0)),
        "region_targets": torch.nn.functional.pad(target, (0, 0, 1, 0)),
        "matching_labels": inputs["itm_label"],
    }


def assert_close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("tag", TAGS)
def test_hidden_states_pooled_vectors_and_logits(tag, attention):
    model, missing = load(InterBertForPreTraining(reference_config(tag, attention)), tag, "pretraining")
    assert missing == []
    outputs = golden(tag, "outputs")
    inputs = golden(tag, "inputs")
    with torch.no_grad():
        ours = model(**model_inputs(inputs))
    assert_close(ours.text_hidden_state, outputs["text_hidden"])
    assert_close(ours.image_hidden_state, outputs["image_hidden"])
    assert_close(ours.text_pooled, outputs["text_pooled"])
    assert_close(ours.image_pooled, outputs["image_pooled"])
    assert_close(ours.lm_logits, outputs["lm_logits"])
    assert_close(ours.region_logits, outputs["region_logits"])
    assert_close(ours.matching_logits, outputs["itm_logits"])


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("tag", TAGS)
def test_losses_and_gradients(tag, attention):
    model, _ = load(InterBertForPreTraining(reference_config(tag, attention)), tag, "pretraining")
    inputs, outputs = golden(tag, "inputs"), golden(tag, "outputs")
    ours = model(**model_inputs(inputs), **training_inputs(inputs))
    assert_close(ours.lm_loss, outputs["loss_lm"].reshape(()))
    assert_close(ours.region_loss, outputs["loss_region"].reshape(()))
    assert_close(ours.matching_loss, outputs["loss_itm"].reshape(()))

    ours.loss.backward()
    gradients, _ = to_reference({name: p.grad for name, p in model.named_parameters()}, model.config)
    expected = golden(tag, "grads")
    compared = 0
    for name, theirs in expected.items():
        if name == "cls.predictions.decoder.weight" and name not in gradients:
            name = "bert.embeddings.word_embeddings.weight"
        bound = 1e-4 * theirs.abs().max().item() + 1e-6
        error = (gradients[name] - theirs).abs().max().item()
        assert error <= bound, f"{name}: {error} > {bound}"
        compared += 1
    assert compared == len(expected) >= 120


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("tag", TAGS)
def test_task_heads(tag, attention):
    outputs = golden(tag, "outputs")
    config = reference_config(tag, attention, num_labels=outputs["task_prediction"].shape[1])
    model, missing = load(InterBertForVLTasks(config), tag, "tasks")
    assert missing == []
    with torch.no_grad():
        ours = model(**model_inputs(golden(tag, "inputs")))
    heads = {
        "task_prediction": ours.prediction,
        "task_logit": ours.logit,
        "task_itm_logits": ours.matching_logits,
        "task_vision_logit": ours.image_logits,
        "task_language_logit": ours.text_logits,
        "task_lm_logits": ours.lm_logits,
        "task_region_scores": ours.region_logits,
    }
    assert heads.keys() == {name for name in outputs if name.startswith("task_")}
    for name, value in heads.items():
        assert_close(value, outputs[name])


def test_base_size_has_the_reference_parameters():
    shapes = json.loads((FIXTURES / "official_base_parameter_shapes.json").read_text())
    with torch.device("meta"):
        model = InterBertForPreTraining(InterBertConfig())
    parameters = dict(model.named_parameters())
    assert sum(parameter.numel() for parameter in parameters.values()) == 157_021_565
    renamed, unknown = to_reference(parameters, model.config)
    assert unknown == []
    for name, parameter in renamed.items():
        assert list(parameter.shape) == list(shapes[name]), name


@pytest.mark.parametrize("tag", TAGS)
def test_reference_state_survives_the_round_trip(tag):
    config = reference_config(tag, "eager")
    for part in ("pretraining", "tasks"):
        state = golden(tag, part)
        ours, _ = from_reference(state, config)
        back, unknown = to_reference(ours, config)
        assert unknown == []
        assert back.keys() == state.keys()
        assert all(torch.equal(back[name], state[name]) for name in state)


def test_the_name_map_is_one_to_one():
    names = reference_names(InterBertConfig())
    assert len(set(names.values())) == len(names)
