import pytest
import torch
from tests.conftest import tiny_config
from tests.model.test_modeling import batch

from interbert.model import modeling
from interbert.model.modeling import InterBertForImageTextRetrieval, InterBertForPreTraining, InterBertModel
from interbert.model.packing import PADDED, Packing, Packings


def mask_of(lengths, most):
    return (torch.arange(most) < torch.tensor(lengths)[:, None]).long()


@pytest.fixture
def calls(monkeypatch):
    """What the encoder packed."""
    found = []
    real = Packings.of

    def of(*masks):
        found.append(real(*masks))
        return found[-1]

    monkeypatch.setattr(modeling.Packings, "of", of)
    return found


@pytest.fixture
def never(monkeypatch):
    def switch_off():
        monkeypatch.setattr(modeling.Packings, "of", lambda *_: PADDED)

    return switch_off


def test_packing_takes_the_real_tokens_and_puts_them_back():
    mask = mask_of([2, 4, 1], 4)
    packing = Packing.of(mask)
    padded = torch.randn(3, 4, 5)
    packed = packing.pack(padded)
    torch.testing.assert_close(packed, padded[mask.bool()])
    torch.testing.assert_close(packing.unpack(packed), padded * mask[..., None])
    torch.testing.assert_close(packed[packing.first], padded[:, 0])


def test_packed_tokens_have_few_numbers_and_the_padding_among_them_stays_zero():
    counts = set()
    for seed in range(40):
        lengths = torch.randint(1, 9, (30,), generator=torch.Generator().manual_seed(seed)).tolist()
        mask = mask_of(lengths, 8)
        packing = Packing.of(mask)
        assert packing.real == sum(lengths)
        assert packing.real <= len(packing.slots) <= packing.real * 17 / 16
        assert len(packing.slots.unique()) == len(packing.slots)
        counts.add(len(packing.slots))
        padded = torch.randn(30, 8, 2)
        torch.testing.assert_close(packing.unpack(packing.pack(padded)), padded * mask[..., None])
    assert len(counts) < 12, counts


def test_gradients_go_to_real_tokens_alone():
    mask = mask_of([2, 4, 1], 4)
    packing = Packing.of(mask)
    padded = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(packing.pack, padded)
    assert torch.autograd.gradcheck(packing.unpack, packing.pack(padded).detach().requires_grad_())
    packing.pack(padded).sum().backward()
    torch.testing.assert_close(padded.grad, mask[..., None].expand_as(padded).double())


def test_a_joint_packing_unpacks_to_image_tokens_then_text_tokens():
    text_mask, image_mask = mask_of([3, 1], 3), mask_of([1, 2], 2)
    packings = Packings.of(text_mask, image_mask)
    text, image = torch.randn(2, 3, 5), torch.randn(2, 2, 5)
    packed = torch.cat(packings.pack(text, image)[::-1])
    expected = torch.cat([image * image_mask[..., None], text * text_mask[..., None]], dim=1)
    torch.testing.assert_close(packings.joint.unpack(packed), expected)
    torch.testing.assert_close(packed[packings.joint.first], image[:, 0])


@pytest.mark.parametrize("lengths", [[3, 3], [0, 3]])
def test_no_padding_and_no_first_token_are_left_padded(lengths):
    assert Packings.of(mask_of(lengths, 3), mask_of([2, 2], 2)) is PADDED


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("sides", ["text", "image", "both", "no text mask", "no region mask", "bool"])
def test_hidden_states_are_those_of_the_padded_batch_and_zero_at_padding(attention, sides, calls, never):
    model = InterBertModel._from_config(tiny_config(), attn_implementation=attention).eval()
    inputs = batch()
    if sides in ("text", "image"):
        inputs = {name: value for name, value in inputs.items() if name.startswith("region") == (sides == "image")}
    if sides.startswith("no"):
        del inputs["attention_mask" if sides == "no text mask" else "region_mask"]
    if sides == "bool":
        inputs = {name: value.bool() if name.endswith("mask") else value for name, value in inputs.items()}
    with torch.no_grad():
        packed = model(**inputs, skip_padding=True)
        assert calls[-1] is not PADDED
        pooled = model(**inputs, pooled_only=True)
        assert calls[-1] is not PADDED
        never()
        padded = model(**inputs)
    for side, mask in (("text", "attention_mask"), ("image", "region_mask")):
        expected = padded.get(f"{side}_hidden_state")
        if expected is not None:
            expected = expected * inputs.get(mask, torch.ones(expected.shape[:2]))[..., None]
            torch.testing.assert_close(packed[f"{side}_hidden_state"], expected, rtol=0, atol=1e-5)
            torch.testing.assert_close(pooled[f"{side}_hidden_state"], expected[:, :1], rtol=0, atol=1e-5)
            torch.testing.assert_close(pooled[f"{side}_pooled"], padded[f"{side}_pooled"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("layers", ["num_text_layers", "num_image_layers", "num_interaction_layers"])
def test_a_part_without_layers(layers, never):
    model = InterBertModel(tiny_config(**{layers: 0})).eval()
    inputs = batch()
    with torch.no_grad():
        packed = model(**inputs, pooled_only=True)
        never()
        padded = model(**inputs)
    torch.testing.assert_close(packed.text_pooled, padded.text_pooled, rtol=0, atol=1e-5)
    torch.testing.assert_close(packed.image_pooled, padded.image_pooled, rtol=0, atol=1e-5)


def labels_of(inputs):
    masked = torch.zeros(3, 6, dtype=torch.bool)
    masked[:, 1] = True
    return {
        "lm_labels": inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100),
        "masked_regions": masked,
        "region_targets": torch.rand(3, 6, 7, generator=torch.Generator().manual_seed(1)).softmax(-1),
        "matching_labels": torch.tensor([0, 1, 0]),
    }


@pytest.mark.parametrize("checkpointing", [False, True])
def test_pretraining_gets_the_losses_and_gradients_of_the_padded_batch(checkpointing, calls, never):
    model = InterBertForPreTraining(tiny_config())
    if checkpointing:
        model.gradient_checkpointing_enable()
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.0
    inputs = batch()
    found = []
    for packed in (True, False):
        if not packed:
            never()
        model.zero_grad()
        output = model(**inputs, **labels_of(inputs))
        output.loss.backward()
        found.append([output.lm_loss, output.region_loss, output.matching_loss, *(p.grad for p in model.parameters())])
        assert packed == (len(calls) == 1 and calls[0] is not PADDED and not output.text_hidden_state[0, -1].any())
        calls.clear()
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("missing", ["lm_labels", "masked_regions"])
def test_logits_of_every_position_are_computed_on_padding_too(missing, calls):
    model = InterBertForPreTraining(tiny_config()).eval()
    inputs = batch()
    labels = labels_of(inputs)
    del labels[missing]
    with torch.no_grad():
        some, none = model(**inputs, **labels), model(**inputs)
    name = "lm_logits" if missing == "lm_labels" else "region_logits"
    torch.testing.assert_close(some[name], none[name])
    assert not calls


def test_recorded_layers_keep_their_shapes():
    model = InterBertForImageTextRetrieval._from_config(tiny_config(), attn_implementation="eager").eval()
    inputs = batch()
    with torch.no_grad():
        output = model.interbert(**inputs, pooled_only=True, output_hidden_states=True, output_attentions=True)
    assert output.hidden_states[0].shape == (3, 14, 24)
    assert output.attentions[0].shape == (3, 4, 14, 14)
