"""A saved directory through transformers' own front doors."""

import json
import subprocess
import sys

import pytest
import torch
from tests.conftest import draw, file_bytes, tiny_config
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMultipleChoice,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoProcessor,
)

import interbert
from interbert.errors import ConfigError, ImageError
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.extraction.images import load_image
from interbert.model.modeling import InterBertForPairScoring

SETTINGS = GridSettings(input_size=64, scales=(1, 2))


@pytest.mark.parametrize(
    ("auto", "kind"),
    [
        (AutoModel, interbert.InterBertModel),
        (AutoModelForPreTraining, interbert.InterBertForPreTraining),
        (AutoModelForMultipleChoice, interbert.InterBertForMultipleChoice),
        (AutoModelForSequenceClassification, interbert.InterBertForSequenceClassification),
    ],
)
def test_auto_classes_know_the_models(tmp_path, auto, kind):
    torch.manual_seed(0)
    model = kind(tiny_config())
    model.save_pretrained(tmp_path)
    loaded = auto.from_pretrained(tmp_path)
    assert type(loaded) is kind
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in model.state_dict().items())
    assert type(AutoConfig.from_pretrained(tmp_path)) is interbert.InterBertConfig


def test_a_pretrained_model_starts_a_classifier_of_any_size(tmp_path):
    interbert.InterBertForPreTraining(tiny_config()).save_pretrained(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=5)
    assert type(model) is interbert.InterBertForSequenceClassification
    assert model.prediction_head.out_features == 5


def test_import_interbert_is_all_it_takes(tmp_path):
    interbert.InterBertModel(tiny_config()).save_pretrained(tmp_path)
    script = (
        "import interbert\nfrom transformers import AutoModel\n"
        f"print(type(AutoModel.from_pretrained({str(tmp_path)!r})).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "InterBertModel", done.stderr[-600:]


def test_shards_hold_the_same_model(tmp_path):
    model = interbert.InterBertForPreTraining(tiny_config())
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    loaded = AutoModelForPreTraining.from_pretrained(tmp_path)
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in model.state_dict().items())


def inputs_of(config, batch=3):
    generator = torch.Generator().manual_seed(1)
    return {
        "input_ids": torch.randint(1, config.vocab_size, (batch, 6), generator=generator),
        "attention_mask": torch.tensor([[1] * 6, [1] * 4 + [0] * 2, [1] * 5 + [0]]),
        "region_features": torch.randn(batch, 4, config.region_feature_size, generator=generator),
        "region_locations": torch.rand(batch, 4, 5, generator=generator),
        "region_mask": torch.tensor([[1] * 4, [1] * 4, [1, 1, 0, 0]]),
    }


def test_attention_weights_and_hidden_states_come_out(tmp_path):
    config = tiny_config()
    interbert.InterBertModel(config).save_pretrained(tmp_path)
    model = AutoModel.from_pretrained(tmp_path, attn_implementation="eager").eval()
    output = model(**inputs_of(config), output_attentions=True, output_hidden_states=True)
    layers = config.num_interaction_layers + config.num_text_layers + config.num_image_layers
    assert len(output.attentions) == layers
    assert output.attentions[0].shape == (3, config.num_attention_heads, 10, 10)
    assert torch.allclose(output.attentions[0].sum(dim=-1), torch.ones(3, config.num_attention_heads, 10))
    assert output.attentions[0][2, :, :, 2:4].max() < 1e-6  # regions that are padding
    assert len(output.hidden_states) >= layers


@pytest.mark.parametrize("implementation", ["eager", "sdpa", pytest.param("flex_attention", marks=pytest.mark.slow)])
def test_attention_implementations_agree(tmp_path, implementation):
    heads = {"num_attention_heads": 2, "image_num_attention_heads": 2}  # flex attention takes heads of 16 and more
    config = tiny_config(hidden_size=32, **heads)
    torch.manual_seed(0)
    interbert.InterBertModel(config).save_pretrained(tmp_path)
    model = AutoModel.from_pretrained(tmp_path, attn_implementation=implementation).eval()
    plain = AutoModel.from_pretrained(tmp_path, attn_implementation="eager").eval()
    with torch.no_grad():
        ours, theirs = model(**inputs_of(config)), plain(**inputs_of(config))
    assert torch.allclose(ours.text_pooled, theirs.text_pooled, atol=1e-5)
    assert torch.allclose(ours.image_pooled, theirs.image_pooled, atol=1e-5)


@pytest.mark.slow
def test_a_compiled_model_computes_the_same():
    config = tiny_config()
    torch.manual_seed(0)
    model = interbert.InterBertForImageTextRetrieval(config).eval()
    compiled = torch.compile(model)
    with torch.no_grad():
        plain, fast = model(**inputs_of(config)).logits, compiled(**inputs_of(config)).logits
    assert torch.allclose(plain, fast, atol=1e-5)


@pytest.fixture(scope="module")
def processor_directory(tmp_path_factory, tiny_bert):
    from interbert.checkpoints.bert import bert_tokenizer
    from interbert.model.processing import InterBertProcessor
    from interbert.model.region_inputs import InterBertRegionFeatureExtractor

    folder = tmp_path_factory.mktemp("processor")
    scaling = InterBertRegionFeatureExtractor(GridExtractor(SETTINGS).info.to_dict())
    InterBertProcessor(scaling, bert_tokenizer(tiny_bert)).save_pretrained(folder)
    tiny_config().save_pretrained(folder)
    return folder


def test_a_processor_turns_an_image_and_a_text_into_inputs(processor_directory, tmp_path):
    processor = AutoProcessor.from_pretrained(processor_directory)
    image = draw("red", "circle")
    file = tmp_path / "circle.png"
    file.write_bytes(file_bytes(image))
    regions = GridExtractor(SETTINGS).detect([image])
    expected = processor(text="a red circle", regions=regions)
    for given in (image, str(file), file, file.read_bytes(), [image]):
        inputs = processor(text="a red circle", images=given)
        assert inputs.keys() == expected.keys()
        assert all(torch.equal(inputs[name], expected[name]) for name in expected)


def test_an_image_of_any_mode_is_read_as_extraction_reads_it(processor_directory, tmp_path):
    processor = AutoProcessor.from_pretrained(processor_directory)
    image = draw("blue", "square").convert("RGBA")
    file = tmp_path / "square.png"
    file.write_bytes(file_bytes(image))
    ours = processor(images=image)["region_features"]
    theirs = processor(regions=GridExtractor(SETTINGS).detect([load_image(file, "it")]))["region_features"]
    assert torch.equal(ours, theirs)


def test_what_is_no_image_is_named(processor_directory, tmp_path):
    processor = AutoProcessor.from_pretrained(processor_directory)
    with pytest.raises(ImageError, match=r"absent\.png"):
        processor(images=str(tmp_path / "absent.png"))
    with pytest.raises(ImageError, match="image 1: is a int"):
        processor(images=[draw("red", "circle"), 7])
    with pytest.raises(ConfigError, match="not both"):
        processor(images=draw("red", "circle"), regions=[])


def test_a_processor_is_saved_as_it_was_after_it_has_made_regions(processor_directory, tmp_path):
    processor = AutoProcessor.from_pretrained(processor_directory)
    processor(images=draw("red", "circle"))
    processor.save_pretrained(tmp_path)
    before, after = (
        json.loads((folder / "processor_config.json").read_text()) for folder in (processor_directory, tmp_path)
    )
    assert before == after


def test_only_retrieval_directories_are_pair_scorers(tmp_path):
    interbert.InterBertForImageTextRetrieval(tiny_config()).save_pretrained(tmp_path / "retrieval")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "retrieval").eval()
    assert type(model) is InterBertForPairScoring
    retrieval = interbert.InterBertForImageTextRetrieval.from_pretrained(tmp_path / "retrieval").eval()
    inputs = inputs_of(model.config)
    with torch.no_grad():
        difference = model(**inputs).logits
        labels = torch.tensor([1, 0, 1])
        assert torch.allclose(model(**inputs, labels=labels).loss, retrieval(**inputs, matching_labels=1 - labels).loss)
    assert difference.shape == (3, 1)
    assert torch.allclose(difference.sigmoid()[:, 0], retrieval.score(**inputs), atol=1e-6)


def test_a_model_leaves_its_configuration_to_the_caller():
    config = tiny_config(num_labels=3)
    before = config.to_dict()
    pair_scorer = InterBertForPairScoring(config)
    assert config.to_dict() == before
    assert pair_scorer.config.num_labels == 1
    assert interbert.InterBertForSequenceClassification(config).prediction_head.out_features == 3


def test_scores_are_the_same_in_training_mode():
    torch.manual_seed(0)
    model = interbert.InterBertForImageTextRetrieval(tiny_config(hidden_dropout_prob=0.5)).eval()
    inputs = inputs_of(model.config)
    expected = model.score(**inputs)
    model.train()
    assert torch.equal(model.score(**inputs), expected)
    assert model.training


@pytest.mark.parametrize("side", ["input_ids", "region_features"])
def test_half_a_pair_has_no_score(side):
    inputs = inputs_of(tiny_config())
    inputs.pop(side)
    for model in (
        interbert.InterBertForImageTextRetrieval(tiny_config()).score,
        InterBertForPairScoring(tiny_config()),
    ):
        with pytest.raises(ConfigError, match=f"A pair is a text and an image: {side} is missing"):
            model(**inputs)
