import pytest
import torch
from tests.conftest import tiny_config

from interbert.errors import ConfigError
from interbert.losses.pretraining import flat_positions
from interbert.model.modeling import (
    InterBertForImageTextRetrieval,
    InterBertForMultipleChoice,
    InterBertForPreTraining,
    InterBertForSequenceClassification,
    InterBertModel,
)
from interbert.tasks.pretraining import pretraining_losses
from interbert.tasks.retrieval import retrieval_losses


def batch(lengths=(5, 8, 3), regions=(4, 2, 6), seed=0):
    generator = torch.Generator().manual_seed(seed)
    tokens, tokens_of_image = max(lengths), max(regions)
    count = len(lengths)
    return {
        "input_ids": torch.randint(1, 60, (count, tokens), generator=generator),
        "attention_mask": (torch.arange(tokens) < torch.tensor(lengths)[:, None]).long(),
        "region_features": torch.randn(count, tokens_of_image, 10, generator=generator),
        "region_locations": torch.rand(count, tokens_of_image, 5, generator=generator),
        "region_mask": (torch.arange(tokens_of_image) < torch.tensor(regions)[:, None]).long(),
    }


def alone(inputs, row):
    tokens = int(inputs["attention_mask"][row].sum())
    tokens_of_image = int(inputs["region_mask"][row].sum())
    cut = {name: (tokens_of_image if name.startswith("region") else tokens) for name in inputs}
    return {name: value[row : row + 1, : cut[name]] for name, value in inputs.items()}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_padded_item_gets_what_it_gets_alone(attention):
    model = InterBertForPreTraining._from_config(tiny_config(), attn_implementation=attention).eval()
    inputs = batch()
    with torch.no_grad():
        together = model(**inputs)
        for row in range(3):
            single = model(**alone(inputs, row))
            tokens, tokens_of_image = single.text_hidden_state.shape[1], single.image_hidden_state.shape[1]
            pairs = [
                (together.text_hidden_state[row, :tokens], single.text_hidden_state[0]),
                (together.image_hidden_state[row, :tokens_of_image], single.image_hidden_state[0]),
                (together.matching_logits[row], single.matching_logits[0]),
            ]
            for padded, ours in pairs:
                torch.testing.assert_close(padded, ours, rtol=0, atol=1e-5)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_pooled_only_gives_the_same_pooled_vectors(attention):
    model = InterBertModel._from_config(tiny_config(), attn_implementation=attention).eval()
    inputs = batch()
    with torch.no_grad():
        full, short = model(**inputs), model(**inputs, pooled_only=True)
    torch.testing.assert_close(short.text_pooled, full.text_pooled, rtol=0, atol=1e-5)
    torch.testing.assert_close(short.image_pooled, full.image_pooled, rtol=0, atol=1e-5)


def test_one_modality_alone():
    model = InterBertForPreTraining(tiny_config()).eval()
    inputs = batch()
    text = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    image = {name: value for name, value in inputs.items() if name not in text}
    with torch.no_grad():
        only_text, only_image, both = model(**text), model(**image), model(**inputs)
    assert only_text.image_hidden_state is None
    assert only_text.region_logits is None
    assert only_image.text_hidden_state is None
    assert only_image.lm_logits is None
    # the fused vector is the other side's pooled vector
    expected = model.matching_head(only_text.text_pooled)
    torch.testing.assert_close(only_text.matching_logits, expected)
    # and together they see each other
    assert not torch.allclose(only_text.text_hidden_state, both.text_hidden_state, atol=1e-3)


def test_no_input_at_all_is_an_error():
    with pytest.raises(ConfigError, match="region_features"):
        InterBertModel(tiny_config())()


def test_losses_are_zero_not_nan_without_targets():
    model = InterBertForPreTraining(tiny_config())
    inputs = batch()
    output = model(
        **inputs,
        lm_labels=torch.full_like(inputs["input_ids"], -100),
        masked_regions=torch.zeros(3, 6, dtype=torch.bool),
        region_targets=torch.rand(3, 6, 7).softmax(-1),
        matching_labels=torch.tensor([0, 1, 0]),
    )
    assert output.lm_loss.item() == 0.0
    assert output.region_loss.item() == 0.0
    output.loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_region_loss_counts_matched_pairs_only():
    model = InterBertForPreTraining(tiny_config()).eval()
    inputs = batch(regions=(6, 6, 6))
    masked = torch.zeros(3, 6, dtype=torch.bool)
    masked[:, 2] = True
    targets = torch.rand(3, 6, 7).softmax(-1)
    labels = {"masked_regions": masked, "region_targets": targets}
    first = alone(inputs, 0) | {"masked_regions": masked[:1], "region_targets": targets[:1]}
    with torch.no_grad():
        mixed = model(**inputs, **labels, matching_labels=torch.tensor([0, 1, 1])).region_loss
        matched = model(**first, matching_labels=torch.tensor([0])).region_loss
        listed = {"region_targets": targets[0, 2:3], "predicted_regions": torch.tensor([2])}
        listed |= {"lm_labels": inputs["input_ids"], "predicted_tokens": torch.tensor([0])}
        alone_given = pretraining_losses(model, inputs | listed | {"matching_labels": torch.tensor([0, 1, 1])})
    torch.testing.assert_close(mixed, matched)
    assert torch.equal(alone_given["region_loss"], mixed)


def test_lm_loss_on_mismatched_pairs_is_a_switch():
    inputs = batch()
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    matching = torch.tensor([0, 1, 1])
    losses = {}
    for switch in (True, False):
        torch.manual_seed(0)
        model = InterBertForPreTraining(tiny_config(lm_loss_on_mismatched=switch)).eval()
        losses[switch] = model(**inputs, lm_labels=labels, matching_labels=matching).lm_loss.item()
        logits = model(**inputs).lm_logits
    chosen = labels[0] != -100
    expected = torch.nn.functional.cross_entropy(logits[0][chosen], labels[0][chosen]).item()
    assert losses[False] == pytest.approx(expected, abs=1e-5)
    assert losses[True] != pytest.approx(expected, abs=1e-3)


def test_save_and_load_keep_weights_and_ties(tmp_path):
    model = InterBertForPreTraining(tiny_config(contrastive_size=8)).eval()
    model.save_pretrained(tmp_path)
    loaded = InterBertForPreTraining.from_pretrained(tmp_path).eval()
    assert loaded.lm_head.decoder.weight is loaded.interbert.text_embeddings.word_embeddings.weight
    assert loaded.config.num_interaction_layers == 2
    inputs = batch()
    with torch.no_grad():
        torch.testing.assert_close(loaded(**inputs).lm_logits, model(**inputs).lm_logits)


def test_a_pretrained_directory_opens_as_a_retrieval_model(tmp_path):
    model = InterBertForPreTraining(tiny_config(contrastive_size=8)).eval()
    model.save_pretrained(tmp_path)
    retrieval = InterBertForImageTextRetrieval.from_pretrained(tmp_path).eval()
    inputs = batch()
    with torch.no_grad():
        expected = model(**inputs).matching_logits
        torch.testing.assert_close(retrieval(**inputs).logits, expected, rtol=0, atol=1e-5)
        scores = retrieval.score(**inputs)
        torch.testing.assert_close(scores, expected.softmax(-1)[:, 0], rtol=0, atol=1e-5)
        texts = retrieval.encode_text(inputs["input_ids"], inputs["attention_mask"])
    torch.testing.assert_close(texts.norm(dim=-1), torch.ones(3))


def test_multiple_choice_repeats_the_image():
    model = InterBertForMultipleChoice(tiny_config()).eval()
    inputs = batch()
    choices = {name: torch.stack([inputs[name], inputs[name].flip(0)], 1) for name in ("input_ids", "attention_mask")}
    images = {name: value for name, value in inputs.items() if name.startswith("region")}
    with torch.no_grad():
        output = model(**choices, **images, labels=torch.tensor([0, 1, 0]))
        straight = model(**{n: v[:, :1] for n, v in choices.items()}, **images)
    assert output.logits.shape == (3, 2)
    torch.testing.assert_close(output.logits[:, :1], straight.logits, rtol=0, atol=1e-5)
    assert torch.isfinite(output.loss)


@pytest.mark.parametrize("sides", ["text", "image", "both"])
def test_sequence_classification_takes_either_side(sides):
    model = InterBertForSequenceClassification(tiny_config(num_labels=4)).eval()
    inputs = batch()
    if sides != "both":
        inputs = {n: v for n, v in inputs.items() if n.startswith("region") == (sides == "image")}
    output = model(**inputs, labels=torch.tensor([0, 1, 3]))
    assert output.logits.shape == (3, 4)
    output.loss.backward()


def test_gradient_checkpointing_gives_equal_gradients():
    inputs = batch()
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = InterBertForImageTextRetrieval(tiny_config(hidden_dropout_prob=0.0, fusion_dropout_prob=0.0))
        if checkpointing:
            model.gradient_checkpointing_enable()
        model.train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if hasattr(module, "attention_dropout"):
                module.attention_dropout = 0.0
        model(**inputs, matching_labels=torch.tensor([0, 1, 0])).loss.backward()
        gradients.append({n: p.grad for n, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("field", "value"),
    [("num_attention_heads", 5), ("fusion", "max"), ("region_objective", "x"), ("pooler_size", 0)],
)
def test_impossible_configurations(field, value):
    with pytest.raises(ConfigError, match=field):
        tiny_config(**{field: value})


def test_unequal_numbers_of_texts_and_images_are_refused():
    model = InterBertForPreTraining(tiny_config())
    inputs = batch()
    inputs["input_ids"], inputs["attention_mask"] = inputs["input_ids"][:2], inputs["attention_mask"][:2]
    with pytest.raises(ConfigError, match="2 texts and 3 images make no pairs"):
        model(**inputs)


def test_the_table_of_words_adds_what_single_pieces_say_to_a_text_vector():
    plain = InterBertForImageTextRetrieval(tiny_config(contrastive_size=8)).eval()
    model = InterBertForImageTextRetrieval(tiny_config(contrastive_size=8, contrastive_lexical=True)).eval()
    missing = model.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing == ["contrastive_head.lexical.weight"]
    ids = torch.tensor([[1, 7, 9, 2, 0], [1, 8, 2, 0, 0]])
    mask = (ids != 0).long()
    with torch.no_grad():
        before = model.encode_text(ids, mask)
        torch.testing.assert_close(before, plain.encode_text(ids, mask), rtol=0, atol=0)  # it starts silent
        model.contrastive_head.lexical.weight[9, 3] = 4.0
        model.contrastive_head.lexical.weight[0, 5] = 9.0  # padding says nothing
        after = model.encode_text(ids, mask)
        torch.testing.assert_close(after[1], before[1], rtol=0, atol=0)
        pooled = model.interbert(ids, mask, pooled_only=True).text_pooled
        projected = model.contrastive_head.text_projection(pooled)[0]
        projected[3] += 4.0 / 2.0  # four tokens
        torch.testing.assert_close(after[0], torch.nn.functional.normalize(projected, dim=0), rtol=0, atol=1e-6)
        alone = model.encode_text(ids[1:, :3])
        torch.testing.assert_close(alone[0], after[1], rtol=0, atol=1e-5)


def test_the_attention_of_a_model_can_be_chosen(caplog):
    model = InterBertForImageTextRetrieval(tiny_config())
    for name in ("eager", "sdpa"):
        model.set_attn_implementation(name)
        assert model.config._attn_implementation == name
    assert caplog.text == ""


def skipping(**fields):
    sizes = {"contrastive_size": 12, "contrastive_lexical": True, "contrastive_skip_size": 4}
    return InterBertForImageTextRetrieval(tiny_config(**sizes, **fields))


def test_a_part_of_the_vectors_skips_the_layers():
    torch.manual_seed(0)
    model = skipping().eval()
    head = model.contrastive_head
    head.lexical.weight.data.normal_()
    ids = torch.tensor([[1, 7, 9, 2], [1, 8, 5, 2]])
    features, locations = torch.randn(2, 3, 10), torch.rand(2, 3, 5)
    with torch.no_grad():
        texts, images = model.encode_text(ids), model.encode_image(features, locations)
        torch.testing.assert_close(images.norm(dim=1), torch.ones(2))
        said = head.lexical(ids)[:, 8:]
        seen = head.image_skip(model.interbert.image_embeddings(features, locations)[:, 0])
        alone = torch.nn.functional.cosine_similarity(said[:, None], seen[None], dim=-1)
        torch.testing.assert_close(texts[:, 8:] @ images[:, 8:].T, 0.5 * alone, atol=0.01, rtol=0.01)
        deep = torch.nn.functional.normalize(
            head.text_projection(model.pool_text(ids)) + head.lexical(ids)[:, :8], dim=1
        )
        torch.testing.assert_close(texts[:, :8], deep * 0.5**0.5)
        for layer in model.interbert.encoder.parameters():
            layer.mul_(0.5)
        torch.testing.assert_close(model.encode_text(ids)[:, 8:], texts[:, 8:], rtol=0, atol=0)
        torch.testing.assert_close(model.encode_image(features, locations)[:, 8:], images[:, 8:], rtol=0, atol=0)
        assert not model.encode_text(ids)[:, :8].equal(texts[:, :8])
        head.lexical.weight[:, 8:] = 1e-3 * torch.randn_like(head.lexical.weight[:, 8:])
        assert float(model.encode_text(ids)[:, 8:].norm(dim=1).max()) < 0.1  # words that training never showed


def test_each_part_of_the_vectors_learns_from_its_own_contrast():
    torch.manual_seed(0)
    model = skipping(hidden_dropout_prob=0.0, image_hidden_dropout_prob=0.0)
    head = model.contrastive_head
    head.lexical.weight.data.normal_()
    ids = torch.tensor([[1, 7, 9, 2], [1, 8, 5, 2]])
    features, locations = torch.randn(2, 3, 10), torch.rand(2, 3, 5)
    texts, images = model.encode_text(ids), model.encode_image(features, locations)
    deep, skip = head.logits(texts, images)
    skip.diagonal().sum().backward(retain_graph=True)
    assert head.text_projection.weight.grad is None or not head.text_projection.weight.grad.any()
    assert not head.lexical.weight.grad[:, :8].any()
    assert head.lexical.weight.grad[7, 8:].any()
    assert head.image_skip[1].weight.grad.any()
    model.zero_grad()
    deep.diagonal().sum().backward()
    assert head.image_skip[1].weight.grad is None or not head.image_skip[1].weight.grad.any()
    total = (deep / head.scale * 0.5 + skip / head.skip_logit_scale.exp() * 0.5).detach()
    torch.testing.assert_close(total, (texts @ images.T).detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"contrastive_skip_size": 4}, "contrastive_skip_size needs a contrastive_size"),
        ({"contrastive_size": 8, "contrastive_skip_size": 4}, "needs contrastive_lexical"),
        ({"contrastive_size": 8, "contrastive_skip_size": 8, "contrastive_lexical": True}, "must be less"),
        ({"contrastive_size": 8, "dual_score_offset": -1.0}, "needs dual_score_weight"),
        ({"rerank_depth": 8}, "set all, or none"),
        ({"rerank_depth": 0, "rerank_reach": 1.0, "unread_score": 0.0}, "rerank_depth must be"),
        ({"rerank_depth": 8, "rerank_reach": -1.0, "unread_score": 0.0}, "rerank_reach must be"),
        ({"rerank_depth": 8, "rerank_reach": 1.0, "unread_score": 0.0}, "needs a dual_score_weight"),
    ],
)
def test_parts_of_vectors_that_cannot_be_are_refused(fields, wrong):
    with pytest.raises(ConfigError, match=wrong):
        tiny_config(**fields)


def test_words_are_left_out_in_training_and_counted_all_the_same():
    model = InterBertForImageTextRetrieval(tiny_config(contrastive_size=8, contrastive_lexical=True)).train()
    model.contrastive_head.lexical.weight.data.fill_(1.0)
    ids = torch.full((2000, 4), 5)
    torch.manual_seed(0)
    said = model.words(ids, None, dropout=0.25)
    assert said.unique().tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert said.mean().item() == pytest.approx(1.5, abs=0.05)
    assert model.eval().words(ids, None, dropout=0.25).unique().tolist() == [2.0]


def test_a_table_of_words_needs_vectors_to_add_to():
    with pytest.raises(ConfigError, match="contrastive_lexical needs a contrastive_size"):
        tiny_config(contrastive_lexical=True)


def test_a_query_bank_takes_its_share_off_images_that_are_near_every_text(tmp_path):
    model = InterBertForImageTextRetrieval(tiny_config(contrastive_size=8, hidden_dropout_prob=0.0)).eval()
    inputs = batch()
    images = {name: value for name, value in inputs.items() if name.startswith("region")}
    texts = (inputs["input_ids"], inputs["attention_mask"])
    with torch.no_grad():
        cosines = model.encode_text(*texts) @ model.encode_image(**images).T
        bank = torch.nn.functional.normalize(torch.randn(5, 8, generator=torch.Generator().manual_seed(1)), dim=-1)
        near = bank @ model.encode_image(**images).T
        model.keep_query_bank(bank, 0.5)
        scale = model.contrastive_head.scale
        expected = cosines - 0.5 * ((scale * near).exp().mean(dim=0).log() / scale)
        corrected = model.encode_text(*texts) @ model.encode_image(**images).T
        torch.testing.assert_close(corrected, expected, rtol=0, atol=1e-5)
        model.save_pretrained(tmp_path)
        again = InterBertForImageTextRetrieval.from_pretrained(tmp_path).eval()
        torch.testing.assert_close(again.encode_image(**images), model.encode_image(**images), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [InterBertForPreTraining, InterBertForImageTextRetrieval])
def test_contrast_teaches_the_temperature_beside_the_other_losses(kind):
    torch.manual_seed(0)
    model = kind(tiny_config(contrastive_size=8, hidden_dropout_prob=0.0))
    batch = {
        "input_ids": torch.randint(1, 60, (4, 6)),
        "region_features": torch.randn(4, 3, 10),
        "region_locations": torch.rand(4, 3, 5),
        "matching_labels": torch.tensor([0, 1, 0, 1]),
    }
    if kind is InterBertForPreTraining:
        more = {"contrast_input_ids": batch["input_ids"], "contrast_region_features": batch["region_features"]}
        chosen = torch.rand(4, 6) < 0.5
        batch |= {"lm_labels": torch.where(chosen, batch["input_ids"], -100), "predicted_regions": torch.tensor([1])}
        batch |= {"predicted_tokens": flat_positions(chosen), "region_targets": torch.rand(1, 7).softmax(-1)}
    else:
        more = {"contrast_rows": torch.arange(4)}
    losses_of = pretraining_losses if kind is InterBertForPreTraining else retrieval_losses
    assert "contrastive_loss" not in losses_of(model, batch)
    losses = losses_of(model, batch | more)
    torch.testing.assert_close(losses.pop("loss"), sum(losses.values()))
    losses["contrastive_loss"].backward()
    assert model.contrastive_head.logit_scale.grad.abs() > 1e-6
    model.contrastive_head.logit_scale.data.fill_(9.0)
    assert model.contrastive_head.scale == 100
