import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.conftest import tiny_config
from tests.killing import kill_at
from transformers import AutoProcessor

from interbert.checkpoints.adapter import TASK_HEADS, reference_names, to_reference
from interbert.checkpoints.convert import convert_reference, convert_to_reference
from interbert.checkpoints.foreign_files import read_tensors, write_tensors
from interbert.cli.main import main
from interbert.errors import CheckpointError, ConfigError, UsageError
from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import InterBertForImageTextRetrieval, InterBertForPreTraining, InterBertForVLTasks

FIXTURES = Path(__file__).parents[1] / "fixtures"


def reference_file(folder, tag="tiny", part="pretraining", change=lambda state: state):
    """The reference's checkpoint as it would have been published."""
    write_tensors(change(load_file(FIXTURES / f"{tag}_{part}.safetensors")), folder / "reference.bin")
    return folder / "reference.bin", FIXTURES / f"{tag}_config.json"


@pytest.mark.parametrize("tag", ["tiny", "tiny_regress"])
@pytest.mark.parametrize(("part", "kind"), [("pretraining", InterBertForPreTraining), ("tasks", InterBertForVLTasks)])
def test_there_and_back_is_bit_identical(tmp_path, tag, part, kind):
    file, config = reference_file(tmp_path, tag, part)
    assert type(convert_reference(file, config, tmp_path / "ours")) is kind
    report = convert_to_reference(tmp_path / "ours", tmp_path / "back.bin")
    before, after = read_tensors(file), read_tensors(tmp_path / "back.bin")
    assert report.written == len(before)
    assert (report.dropped, report.absent) == ((), ())
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    fields = json.loads(config.read_text())
    back = json.loads((tmp_path / "back.json").read_text())
    assert {name: back.get(name) for name in fields} == fields


@pytest.mark.parametrize("tag", ["tiny", "tiny_regress"])
def test_a_converted_directory_computes_what_the_reference_did(tmp_path, tag):
    file, config = reference_file(tmp_path, tag)
    convert_reference(file, config, tmp_path / "ours")
    model = InterBertForPreTraining.from_pretrained(tmp_path / "ours").eval()
    inputs = load_file(FIXTURES / f"{tag}_inputs.safetensors")
    outputs = load_file(FIXTURES / f"{tag}_outputs.safetensors")
    names = ("input_ids", "attention_mask", "token_type_ids", "region_features", "region_locations", "region_mask")
    with torch.no_grad():
        logits = model(**{name: inputs[name] for name in names}).matching_logits
    assert torch.allclose(logits, outputs["itm_logits"], atol=1e-5)


def old_spelling(state):
    spelt = {}
    for name, tensor in state.items():
        head, _, last = name.rpartition(".")
        last = {"weight": "gamma", "bias": "beta"}[last] if head.endswith("LayerNorm") else last
        spelt[f"module.{head}.{last}"] = tensor
    return spelt


def test_old_spellings_are_understood(tmp_path):
    (tmp_path / "old").mkdir()
    file, config = reference_file(tmp_path)
    new = convert_reference(file, config, tmp_path / "a").state_dict()
    file, config = reference_file(tmp_path / "old", change=old_spelling)
    old = convert_reference(file, config, tmp_path / "b").state_dict()
    assert all(torch.equal(old[name], new[name]) for name in new)


def test_omitted_configuration_fields_have_the_references_defaults(tmp_path):
    config = tiny_config(pooler_size=1024)
    model = InterBertForPreTraining(config)
    write_tensors(to_reference(model.state_dict(), config)[0], tmp_path / "reference.bin")
    convert_to_reference(_saved(model, tmp_path / "model"), tmp_path / "fields.bin")
    fields = json.loads((tmp_path / "fields.json").read_text())
    for name in ("bi_hidden_size", "fusion_method"):
        del fields[name]
    (tmp_path / "config.json").write_text(json.dumps(fields))
    converted = convert_reference(tmp_path / "reference.bin", tmp_path / "config.json", tmp_path / "ours")
    assert (converted.config.pooler_size, converted.config.fusion) == (1024, "mul")


def _saved(model, folder):
    model.save_pretrained(folder)
    return folder


def test_at_base_size_the_map_covers_every_name_and_shape():
    shapes = json.loads((FIXTURES / "official_base_parameter_shapes.json").read_text())
    with torch.device("meta"):
        state = InterBertForPreTraining(InterBertConfig()).state_dict()
    theirs, unknown = to_reference(state, InterBertConfig())
    assert unknown == []
    assert {name: list(tensor.shape) for name, tensor in theirs.items()} == shapes
    names = reference_names(InterBertConfig())
    assert {name for name in names.values() if name.split(".")[0] not in TASK_HEADS} == shapes.keys()


def without(name):
    return lambda state: {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("bert.t_pooler.dense.bias"), r"1 missing: bert\.t_pooler\.dense\.bias"),
        (lambda state: state | {"bert.c_layer.0": torch.ones(1)}, r"1 not known: bert\.c_layer\.0"),
        (
            lambda state: state | {"bert.t_pooler.dense.bias": torch.ones(3)},
            r"1 of another shape: bert\.t_pooler\.dense\.bias \[3\] instead of \[32\]",
        ),
        (lambda state: state | {"vil_logit.bias": torch.ones(1)}, "7 missing: vil_prediction"),
        (
            lambda state: state | {"cls.predictions.decoder.weight": torch.ones(120, 48)},
            "differs from bert.embeddings.word_embeddings.weight",
        ),
        (lambda state: state | {"module.bert.t_pooler.dense.bias": torch.ones(32)}, "twice"),
    ],
)
def test_tensors_that_do_not_fit_are_listed_and_nothing_is_left(tmp_path, change, message):
    file, config = reference_file(tmp_path, change=change)
    with pytest.raises(CheckpointError, match=message):
        convert_reference(file, config, tmp_path / "ours")
    assert [path.name for path in tmp_path.iterdir()] == ["reference.bin"]


def test_a_checkpoint_saved_without_the_tied_decoder_is_whole(tmp_path):
    file, config = reference_file(tmp_path, change=without("cls.predictions.decoder.weight"))
    model = convert_reference(file, config, tmp_path / "ours")
    assert model.lm_head.decoder.weight is model.interbert.text_embeddings.word_embeddings.weight


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, CheckpointError, "no configuration"),
        ("{", CheckpointError, "is no JSON"),
        ("[]", CheckpointError, "must be a JSON object"),
        ('{"hidden_size": 10, "num_attention_heads": 3}', ConfigError, "num_attention_heads"),
        ('{"hidden_size": "many"}', ConfigError, "config.json"),
    ],
)
def test_a_bad_configuration_is_named(tmp_path, content, error, message):
    file, _ = reference_file(tmp_path)
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(error, match=message):
        convert_reference(file, tmp_path / "config.json", tmp_path / "ours")


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    file, config = reference_file(tmp_path)
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        convert_reference(file, config, tmp_path / "ours")
    assert [path.name for path in (tmp_path / "ours").iterdir()] == ["letter.txt"]


def test_an_empty_folder_is_used(tmp_path):
    file, config = reference_file(tmp_path)
    (tmp_path / "ours").mkdir()
    convert_reference(file, config, tmp_path / "ours")
    assert (tmp_path / "ours" / "model.safetensors").is_file()


def test_a_tokenizer_of_another_size_is_refused(tmp_path, tiny_bert):
    file, config = reference_file(tmp_path)
    with pytest.raises(CheckpointError, match="30522 tokens, the word embedding 120 rows"):
        convert_reference(file, config, tmp_path / "ours", tokenizer=tiny_bert)
    assert not (tmp_path / "ours").exists()


def test_with_a_tokenizer_the_directory_has_a_processor(tmp_path, tiny_bert):
    config = tiny_config(vocab_size=30522)
    model = InterBertForPreTraining(config)
    convert_to_reference(_saved(model, tmp_path / "model"), tmp_path / "reference.bin")
    convert_reference(tmp_path / "reference.bin", tmp_path / "reference.json", tmp_path / "ours", tokenizer=tiny_bert)
    processor = AutoProcessor.from_pretrained(tmp_path / "ours")
    assert processor(text="a red bus")["input_ids"].shape == (1, 5)
    assert processor.extractor_info["feature_size"] == config.region_feature_size


def test_what_the_reference_lacks_is_dropped_and_named(tmp_path):
    folder = _saved(InterBertForPreTraining(tiny_config(contrastive_size=4)), tmp_path / "model")
    report = convert_to_reference(folder, tmp_path / "reference.bin")
    assert {name.split(".")[0] for name in report.dropped} == {"contrastive_head"}
    assert report.absent == ()


def test_a_retrieval_model_goes_back_without_the_heads_it_lacks(tmp_path):
    folder = _saved(InterBertForImageTextRetrieval(tiny_config()), tmp_path / "model")
    report = convert_to_reference(folder, tmp_path / "reference.bin")
    assert report.absent
    assert all(name.startswith(("cls.predictions.", "cls.imagePredictions.")) for name in report.absent)


def test_a_sharded_directory_goes_back(tmp_path):
    model = InterBertForPreTraining(tiny_config())
    model.save_pretrained(tmp_path / "one")
    model.save_pretrained(tmp_path / "many", max_shard_size="20KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 2
    convert_to_reference(tmp_path / "one", tmp_path / "one.bin")
    convert_to_reference(tmp_path / "many", tmp_path / "many.bin")
    one, many = read_tensors(tmp_path / "one.bin"), read_tensors(tmp_path / "many.bin")
    assert one.keys() == many.keys()
    assert all(torch.equal(one[name], many[name]) for name in one)


def test_an_index_that_points_outside_is_refused(tmp_path):
    model = InterBertForPreTraining(tiny_config())
    model.save_pretrained(tmp_path / "model", max_shard_size="20KB")
    index = tmp_path / "model" / "model.safetensors.index.json"
    fields = json.loads(index.read_text())
    fields["weight_map"] = dict.fromkeys(fields["weight_map"], "../other.safetensors")
    index.write_text(json.dumps(fields))
    with pytest.raises(CheckpointError, match="outside its folder"):
        convert_to_reference(tmp_path / "model", tmp_path / "reference.bin")


def test_what_is_no_model_directory_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no model here"):
        convert_to_reference(tmp_path / "absent", tmp_path / "reference.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_not_overwritten(tmp_path):
    folder = _saved(InterBertForPreTraining(tiny_config()), tmp_path / "model")
    before = (folder / "config.json").read_text()
    with pytest.raises(UsageError, match=r"config\.json: is there already"):
        convert_to_reference(folder, folder / "config.bin")
    assert (folder / "config.json").read_text() == before
    with pytest.raises(UsageError, match=r"Name the checkpoint .*out\.bin"):
        convert_to_reference(folder, tmp_path / "out.json")
    with pytest.raises(UsageError, match="its folder does not exist"):
        convert_to_reference(folder, tmp_path / "absent" / "out.bin")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_weights_and_configuration_that_disagree_do_not_go_back(tmp_path):
    folder = _saved(InterBertForPreTraining(tiny_config()), tmp_path / "model")
    (folder / "config.json").write_text(json.dumps(InterBertConfig(hidden_size=24, num_attention_heads=4).to_dict()))
    with pytest.raises(CheckpointError, match=r"do not fit its config\.json"):
        convert_to_reference(folder, tmp_path / "out.bin")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_act": "zzz"}, "hidden_act 'zzz' is no activation"),
        ({"hidden_dropout_prob": 7}, "hidden_dropout_prob must be between 0 and 1"),
        ({"num_hidden_layers": 1.5}, "num_interaction_layers must be a whole number"),
        ({"num_hidden_layers": 10_000_000}, "num_interaction_layers must be a whole number from 0 to 1000"),
        ({"hidden_size": None}, "hidden_size must be a whole number"),
    ],
)
def test_an_impossible_field_is_named(tmp_path, fields, message):
    file, config = reference_file(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(json.loads(config.read_text()) | fields))
    with pytest.raises(ConfigError, match=message):
        convert_reference(file, tmp_path / "config.json", tmp_path / "ours")


def test_values_that_are_no_numbers_are_named(tmp_path):
    def spoil(state):
        state["bert.t_pooler.dense.bias"][3] = float("nan")
        return state

    file, config = reference_file(tmp_path, change=spoil)
    with pytest.raises(CheckpointError, match=r"NaN or infinite values in bert\.t_pooler\.dense\.bias"):
        convert_reference(file, config, tmp_path / "ours")


def test_a_conversion_that_is_killed_leaves_nothing_in_the_way(tmp_path):
    file, config = reference_file(tmp_path)
    words = ["convert", "reference", str(file), str(tmp_path / "ours"), "--config", str(config)]
    kill_at(1, "folders", *words)
    assert not (tmp_path / "ours").exists()
    assert main(words) == 0
    assert not list(tmp_path.glob(".ours*"))
    back = ["convert", "to-reference", str(tmp_path / "ours"), str(tmp_path / "back.bin")]
    kill_at(1, "files", *back)
    assert not (tmp_path / "back.bin").exists()
    assert not (tmp_path / "back.json").exists()
    assert main(back) == 0
    before, after = read_tensors(file), read_tensors(tmp_path / "back.bin")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_full_disk_leaves_neither_file_and_is_one_line(tmp_path, monkeypatch, capsys):
    file, config = reference_file(tmp_path)
    convert_reference(file, config, tmp_path / "ours")

    def full(*_, **__):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534")

    monkeypatch.setattr(torch, "save", full)
    assert main(["convert", "to-reference", str(tmp_path / "ours"), str(tmp_path / "back.bin")]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith(f"interbert: {tmp_path / 'back.bin'}: the disk is full.")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["ours", "reference.bin"]
