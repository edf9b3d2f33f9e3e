import errno
import json
import re
from pathlib import Path

import pytest
import torch

from interbert.checkpoints.bert import bert_tokenizer
from interbert.checkpoints.directory import (
    finish_replacing,
    is_pretrained_only,
    load_model,
    load_pretraining_model,
    load_processor,
    replaced_files,
)
from interbert.errors import CheckpointError, StorageError
from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import InterBertForImageTextRetrieval, InterBertForPreTraining, InterBertModel
from interbert.model.processing import InterBertProcessor
from interbert.model.region_inputs import InterBertRegionFeatureExtractor

SIZES = {
    "vocab_size": 30522,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "num_interaction_layers": 1,
    "num_text_layers": 1,
    "num_image_layers": 1,
    "image_num_attention_heads": 2,
    "image_intermediate_size": 10,
    "max_position_embeddings": 16,
    "region_feature_size": 3,
    "num_region_classes": 5,
    "pooler_size": 4,
}


def saved(folder, kind=InterBertForImageTextRetrieval, **values):
    torch.manual_seed(0)
    model = kind(InterBertConfig(**(SIZES | values)))
    model.save_pretrained(folder)
    return model


@pytest.fixture
def directory(tmp_path, tiny_bert):
    saved(tmp_path)
    scaling = InterBertRegionFeatureExtractor({"name": "grid"}, [0.0] * 3, [1.0] * 3)
    InterBertProcessor(scaling, bert_tokenizer(tiny_bert)).save_pretrained(tmp_path)
    return tmp_path


def change_config(directory, **values):
    file = directory / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def refused(load, directory, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        load(directory)
    assert str(directory) in str(caught.value)
    assert "\n" not in str(caught.value)


both = pytest.mark.parametrize("load", [load_model, load_processor])


def test_a_whole_directory_opens(directory):
    model = load_model(directory)
    theirs = saved(directory).state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in model.state_dict().items())
    assert load_processor(str(directory)).extractor_info == {"name": "grid"}


def test_a_pretraining_model_opens_as_a_retrieval_model(tmp_path):
    pretrained = saved(tmp_path, InterBertForPreTraining)
    model = load_model(tmp_path)
    assert torch.equal(model.matching_head.weight, pretrained.matching_head.weight)
    assert is_pretrained_only(tmp_path)


def test_a_finetuned_model_is_not_only_pretrained(directory, tmp_path):
    assert not is_pretrained_only(directory)
    assert not is_pretrained_only(tmp_path / "nothing")


@both
def test_a_missing_directory(load, tmp_path):
    refused(load, tmp_path / "nothing", "there is no model here")
    refused(load, tmp_path, r"no config\.json")


@both
def test_a_hub_id_that_cannot_be_reached(load):
    refused(load, "nobody/nothing", "cannot be read")


@both
def test_a_foreign_model(load, tiny_bert):
    refused(load, tiny_bert, "'bert' model, not an InterBERT")


@both
@pytest.mark.parametrize("content", [b'{"model_type": "interb', b"", b"\xff\xfe\x00"])
def test_a_damaged_configuration(load, content, directory):
    (directory / "config.json").write_bytes(content)
    refused(load, directory, "is damaged")


@both
@pytest.mark.parametrize("content", [b"[]", b'"interbert"', b"null"])
def test_a_configuration_that_is_no_object(load, content, directory):
    (directory / "config.json").write_bytes(content)
    refused(load, directory, re.escape(str(directory)))


@pytest.mark.parametrize("keep", [0, 5, 2000])
def test_damaged_weights(keep, directory):
    file = directory / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    refused(load_model, directory, "weights cannot be read")


def test_missing_weights(directory):
    (directory / "model.safetensors").unlink()
    refused(load_model, directory, "weights cannot be read")


def test_weights_of_another_size(directory):
    change_config(directory, hidden_size=16)
    refused(load_model, directory, "weights cannot be read")


def test_an_impossible_configuration_names_the_directory(directory):
    change_config(directory, num_attention_heads=3)
    refused(load_model, directory, "num_attention_heads")


def test_a_model_without_a_matching_head(tmp_path):
    saved(tmp_path, InterBertModel)
    refused(load_model, tmp_path, "lacks 2 weights of a retrieval model, such as matching_head")


def test_a_pretraining_model_opens_with_all_its_heads_and_a_finetuned_one_does_not(directory):
    refused(load_pretraining_model, directory, "weights of a pretraining model, such as lm_head")
    pretrained = saved(directory, InterBertForPreTraining)
    opened = load_pretraining_model(directory)
    assert torch.equal(opened.region_head.decoder.weight, pretrained.region_head.decoder.weight)


def test_a_directory_without_a_tokenizer(tmp_path):
    saved(tmp_path)
    refused(load_processor, tmp_path, "processor cannot be read")


def test_a_damaged_processor(directory):
    for file in ("processor_config.json", "preprocessor_config.json"):
        if (directory / file).exists():
            (directory / file).write_text("{")
    refused(load_processor, directory, "processor cannot be read")


def test_a_directory_without_its_tokenizer_is_refused(directory):
    (directory / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"its tokenizer has \d+ tokens, its word embedding 30522 rows"):
        load_processor(directory)


def test_a_tokenizer_with_more_pieces_than_the_embedding_has_rows_is_refused(directory):
    change_config(directory, vocab_size=30000)
    with pytest.raises(CheckpointError, match="another model's"):
        load_processor(directory)


def test_a_configuration_of_wrong_types_is_refused(directory):
    change_config(directory, hidden_size="8")
    with pytest.raises(CheckpointError, match="hidden_size"):
        load_model(directory)


def test_files_of_a_model_change_places_together_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def state() -> list[str]:
        return [(tmp_path / name).read_text() for name in ("config.json", "weights")]

    def write(text: str) -> None:
        with replaced_files(tmp_path) as part:
            (part / "config.json").write_text(text)
            if text == "half":
                raise OSError(errno.ENOSPC, "No space left on device")
            (part / "weights").write_text(text)

    write("old")
    with pytest.raises(StorageError, match="the disk is full"):
        write("half")
    assert state() == ["old", "old"]
    place = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if self.name == "weights":
            raise KeyboardInterrupt
        return place(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write("new")
    assert state() == ["new", "old"]  # what a kill between two files leaves
    finish_replacing(tmp_path)
    assert state() == ["new", "new"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["config.json", "weights"]
