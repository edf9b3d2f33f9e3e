import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, BertConfig, BertModel

from interbert.checkpoints.bert import bert_tokenizer, config_for_bert, initialise_from_bert
from interbert.errors import CheckpointError
from interbert.model.modeling import InterBertForImageTextRetrieval, InterBertForPreTraining

SMALL = {"pooler_size": 16, "region_feature_size": 10, "num_region_classes": 7}
FROM_BERT = (
    "interbert.text_embeddings.",
    "interbert.encoder.interaction_layers.",
    "interbert.encoder.text_layers.",
    "lm_head.",
)


def model_for(bert, kind=InterBertForPreTraining, **overrides):
    torch.manual_seed(1)
    return kind(config_for_bert(bert, **(SMALL | overrides))).eval()


@pytest.fixture(scope="module")
def reference(tiny_bert):
    return AutoModelForMaskedLM.from_pretrained(tiny_bert).eval()


@pytest.fixture(scope="module")
def headless(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("bert-without-head"))
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 20}
    BertModel(BertConfig(vocab_size=200, num_hidden_layers=3, **sizes)).save_pretrained(folder)
    return folder


def test_it_fills_embeddings_text_side_layers_and_lm_head_and_nothing_else(tiny_bert):
    model = model_for(tiny_bert)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = initialise_from_bert(model, tiny_bert)
    expected = {name for name in before if name.startswith(FROM_BERT)} - {"lm_head.decoder.weight"}
    assert set(report.filled) == expected
    assert set(report.random) == before.keys() - expected - {"lm_head.decoder.weight"}
    assert report.vocab_size == model.config.vocab_size
    for name in report.random:
        assert torch.equal(model.state_dict()[name], before[name]), name
    assert model.lm_head.decoder.weight is model.interbert.text_embeddings.word_embeddings.weight


@pytest.mark.parametrize(("interaction", "text"), [(1, 1), (2, 0), (0, 2)])
def test_on_text_alone_it_computes_what_the_bert_computes(tiny_bert, reference, interaction, text):
    model = model_for(tiny_bert, num_interaction_layers=interaction, num_text_layers=text)
    initialise_from_bert(model, tiny_bert)
    ids = torch.randint(1000, 2000, (2, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    with torch.no_grad():
        ours = model(input_ids=ids, attention_mask=mask)
        theirs = reference(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    real = mask.bool()
    hidden = theirs.hidden_states[-1]
    torch.testing.assert_close(ours.text_hidden_state[real], hidden[real], rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.lm_logits[real], theirs.logits[real], rtol=0, atol=1e-5)


def test_layer_k_of_the_bert_is_layer_k_of_interaction_then_text(headless):
    model = model_for(headless, num_interaction_layers=2, num_text_layers=1)
    initialise_from_bert(model, headless)
    encoder = model.interbert.encoder
    chain = [*encoder.interaction_layers, *encoder.text_layers]
    layers = BertModel.from_pretrained(headless).encoder.layer
    assert len(chain) == len(layers) == 3
    for ours, theirs in zip(chain, layers, strict=True):
        assert torch.equal(ours.attention.query.weight, theirs.attention.self.query.weight)
        assert torch.equal(ours.output.weight, theirs.output.dense.weight)
        assert torch.equal(ours.output_layer_norm.bias, theirs.output.LayerNorm.bias)


def test_without_an_lm_head_ours_stays_random(headless):
    model = model_for(headless)
    before = model.lm_head.transform.dense.weight.clone()
    report = initialise_from_bert(model, headless)
    assert torch.equal(model.lm_head.transform.dense.weight, before)
    assert "lm_head.transform.dense.weight" in report.random
    assert "lm_head.decoder.bias" in report.random
    assert not any(name.startswith("lm_head") for name in report.filled)


def test_a_model_without_an_lm_head_can_be_filled(tiny_bert, reference):
    model = model_for(tiny_bert, InterBertForImageTextRetrieval)
    report = initialise_from_bert(model, tiny_bert)
    words = model.interbert.text_embeddings.word_embeddings.weight
    assert torch.equal(words, reference.bert.embeddings.word_embeddings.weight)
    assert not any(name.startswith("lm_head") for name in report.filled + report.random)


def test_a_grown_vocabulary_keeps_its_new_rows(headless):
    model = model_for(headless, vocab_size=205)
    words = model.interbert.text_embeddings.word_embeddings.weight
    new = words[200:].clone()
    report = initialise_from_bert(model, headless)
    assert report.vocab_size == 200
    assert torch.equal(words[:200], BertModel.from_pretrained(headless).embeddings.word_embeddings.weight)
    assert torch.equal(words[200:], new)


@pytest.mark.parametrize(
    "misfit",
    [
        {"num_interaction_layers": 3},
        {"hidden_size": 48},
        {"intermediate_size": 65},
        {"num_attention_heads": 8},
        {"max_position_embeddings": 65},
        {"vocab_size": 100},
    ],
)
def test_a_misfit_proposes_a_configuration_that_fits(tiny_bert, misfit):
    model = model_for(tiny_bert, **misfit)
    proposal = (
        "hidden_size=32, num_attention_heads=4, intermediate_size=64, num_interaction_layers=1, num_text_layers=1"
    )
    with pytest.raises(CheckpointError, match=proposal) as caught:
        initialise_from_bert(model, tiny_bert)
    fields = str(caught.value).split("One that fits: ")[1].rstrip(".").replace(">=", "=")
    fitting = {name: int(value) for name, value in (field.split("=") for field in fields.split(", "))}
    initialise_from_bert(model_for(tiny_bert, **fitting), tiny_bert)


def test_minilm_makes_a_small_model():
    config = config_for_bert("minilm")
    assert (config.hidden_size, config.num_attention_heads, config.intermediate_size) == (384, 12, 1536)
    assert (config.num_interaction_layers, config.num_text_layers, config.num_image_layers) == (3, 3, 3)
    assert config.vocab_size == len(bert_tokenizer("minilm")) == 30522


def test_what_is_no_bert_is_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no BERT found"):
        config_for_bert(str(tmp_path / "nothing"))
    with pytest.raises(CheckpointError, match="no tokenizer"):
        bert_tokenizer(str(tmp_path / "nothing"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "roberta"}))
    with pytest.raises(CheckpointError, match="'roberta'"):
        config_for_bert(str(tmp_path))


def test_the_report_names_what_was_filled_and_what_started_random(tiny_bert):
    report = initialise_from_bert(model_for(tiny_bert), tiny_bert)
    assert str(report) == (
        f"from {tiny_bert}: text embeddings, lm head, 1 interaction layers, 1 text layers; "
        "random: image embeddings, 1 image layers, text pooler, image pooler, matching head, region head"
    )
    assert report.to_dict()["filled"] == list(report.filled)


@pytest.mark.parametrize(
    ("given", "split"), [({"num_interaction_layers": 2}, (2, 0)), ({"num_text_layers": 2}, (0, 2))]
)
def test_one_kind_of_layers_leaves_the_rest_to_the_other(tiny_bert, given, split):
    config = config_for_bert(tiny_bert, **given)
    assert (config.num_interaction_layers, config.num_text_layers) == split


def test_a_chinese_bert_as_people_have_it(tmp_path):
    """A folder with ``config.json``, ``vocab.txt`` and weights, cased, without a ``tokenizer.json``."""
    characters = [chr(code) for code in range(0x4E00, 0x4E00 + 200)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, "Nike", "##s"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false, "tokenizer_class": "BertTokenizer"}')
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 20}
    BertModel(BertConfig(vocab_size=len(words), num_hidden_layers=2, **sizes)).save_pretrained(tmp_path)
    tokenizer = bert_tokenizer(str(tmp_path))
    assert len(tokenizer) == len(words)
    text = "".join(characters[5:8]) + " Nike"
    assert tokenizer.tokenize(text) == [*characters[5:8], "Nike"]
    model = model_for(str(tmp_path))
    report = initialise_from_bert(model, str(tmp_path))
    assert report.vocab_size == len(words)
    assert "text embeddings" in str(report)
