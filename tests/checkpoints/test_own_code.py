"""A model directory that asks for code of its own is refused by name: nothing is run, and nobody is asked."""

from __future__ import annotations

import builtins
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import tiny_config
from transformers import AutoModel, BertModel

from interbert.checkpoints.bert import bert_tokenizer, config_for_bert, load_bert
from interbert.checkpoints.convert import convert_to_reference
from interbert.checkpoints.directory import load_model, load_processor
from interbert.checkpoints.foreign_files import require_own_files
from interbert.errors import CheckpointError
from interbert.extraction.backbones import build_backbone
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.processing import InterBertProcessor
from interbert.model.region_inputs import InterBertRegionFeatureExtractor
from interbert.search.index_model import model_fingerprint

OWN = {"AutoTokenizer": ["own.Own", None], "AutoProcessor": "own.Own", "AutoFeatureExtractor": "own.Own"}
ELSEWHERE = {"audio_tokenizer_class": "BertModel", "audio_tokenizer_name_or_path": "../other"}


@pytest.fixture(scope="module")
def whole(tiny_bert: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "whole"
    tokenizer = bert_tokenizer(tiny_bert)
    InterBertForImageTextRetrieval(tiny_config(vocab_size=len(tokenizer))).save_pretrained(folder)
    InterBertProcessor(InterBertRegionFeatureExtractor({"feature_size": 8}), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A copy of a directory with other settings in a file, and code beside it that leaves a mark when it is run."""
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("somebody was asked"))

    def make(directory: str | Path, file: str, **settings: Any) -> Path:
        folder = tmp_path / "changed"
        shutil.copytree(directory, folder)
        (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass Own: pass\n")
        path = folder / file
        before = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(before | settings))
        return folder

    yield make
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("file", "settings", "named"),
    [
        ("tokenizer_config.json", {"auto_map": OWN, "tokenizer_class": "Own"}, "tokenizer_class: Own"),
        ("tokenizer_config.json", {"auto_map": OWN}, "auto_map: "),  # transformers passes over it
        ("tokenizer_config.json", {"tokenizer_class": "OwnTokenizer"}, "tokenizer_class: OwnTokenizer"),
        ("processor_config.json", {"auto_map": OWN, "processor_class": "Own"}, "auto_map: "),
        ("processor_config.json", {"feature_extractor": {"auto_map": OWN}}, "auto_map: "),
        ("preprocessor_config.json", {"auto_map": OWN}, "auto_map: "),
        ("config.json", {"auto_map": {"AutoConfig": "own.Own"}}, "auto_map: "),
        ("config.json", {"_attn_implementation": "owner/kernel"}, '_attn_implementation: "owner/kernel"'),
    ],
)
def test_whatever_asks_for_code_is_refused_and_named(
    whole: Path, changed: Callable[..., Path], file: str, settings: dict[str, Any], named: str
) -> None:
    folder = changed(whole, file, **settings)
    for load in (load_model, load_processor, model_fingerprint):
        with pytest.raises(CheckpointError, match="asks for code of its own") as refused:
            load(folder)
        assert f"{folder / file}: asks for code of its own ({named}" in str(refused.value)


def test_the_processor_itself_asks_nobody(whole: Path, changed: Callable[..., Path]) -> None:
    folder = changed(whole, "tokenizer_config.json", auto_map=OWN, tokenizer_class="Own")
    with pytest.raises(ValueError, match="custom code"):
        InterBertProcessor.from_pretrained(folder)


def test_a_bert_and_a_backbone_are_refused_likewise(tiny_bert: str, changed: Callable[..., Path]) -> None:
    folder = changed(tiny_bert, "tokenizer_config.json", auto_map=OWN, tokenizer_class="Own")
    for load in (bert_tokenizer, config_for_bert, lambda name: load_bert(AutoModel, name)):
        with pytest.raises(CheckpointError, match="asks for code of its own"):
            load(str(folder))
    with pytest.raises(CheckpointError, match="asks for code of its own"):
        build_backbone(f"transformers:{folder}")


@pytest.mark.parametrize(
    "outside", ["../whole/model.safetensors", "/etc/x.safetensors", "a\\b.safetensors", "..", [".."]]
)
@pytest.mark.parametrize("index", ["model.safetensors.index.json", "pytorch_model.bin.index.json"])
def test_an_index_that_names_files_outside_its_folder_is_refused(
    whole: Path, changed: Callable[..., Path], tmp_path: Path, index: str, outside: object
) -> None:
    folder = changed(whole, index, metadata={}, weight_map={"lm_head.bias": outside})
    (folder / "model.safetensors").unlink()
    for load in (load_model, load_processor, lambda one: convert_to_reference(one, tmp_path / "out.bin")):
        with pytest.raises(CheckpointError, match=f"{index}: names a file outside its folder"):
            load(folder)


def test_a_tokenizer_s_files_lie_beside_its_settings(whole: Path, changed: Callable[..., Path]) -> None:
    folder = changed(whole, "tokenizer_config.json", fast_tokenizer_files=["../other/tokenizer.4.0.0.json"])
    for load in (load_model, load_processor, model_fingerprint):
        with pytest.raises(
            CheckpointError, match=r"tokenizer_config.json: names a file outside its folder \(\.\./other"
        ):
            load(folder)


@pytest.mark.parametrize(
    ("file", "settings", "said"),
    [
        ("processor_config.json", {"audio_tokenizer": ELSEWHERE}, "names an audio tokenizer"),
        ("audio_tokenizer_config.json", ELSEWHERE, "names an audio tokenizer"),
        ("adapter_config.json", {"base_model_name_or_path": "../other"}, "is an adapter of another model"),
    ],
)
def test_a_model_that_settings_name_elsewhere_is_not_loaded(
    whole: Path, changed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, file: str, settings: Any, said: str
) -> None:
    monkeypatch.setattr(BertModel, "from_pretrained", lambda *_, **__: pytest.fail("it was loaded"))
    folder = changed(whole, file, **settings)
    for load in (load_model, load_processor, lambda name: build_backbone(f"transformers:{name}")):
        with pytest.raises(CheckpointError, match=f"{file}: {said}"):
            load(folder)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}, "its weights cannot be read"),
        ({"attn_implementation": "flash_attention_2"}, "its weights cannot be read"),
        ({"dtype": "float1"}, "its weights cannot be read"),
    ],
)
def test_settings_that_need_what_is_not_here_are_one_line(
    whole: Path, changed: Callable[..., Path], settings: dict[str, Any], said: str
) -> None:
    folder = changed(whole, "config.json", **settings)
    with pytest.raises(CheckpointError, match=said) as refused:
        load_model(folder)
    assert len(str(refused.value).splitlines()) == 1


def test_damaged_settings_are_named_and_sound_directories_pass(
    whole: Path, changed: Callable[..., Path], tiny_bert: str
) -> None:
    require_own_files(whole)
    require_own_files(tiny_bert)
    require_own_files("owner/name")
    folder = changed(whole, "config.json")
    (folder / "processor_config.json").write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match="its processor cannot be read"):
        load_processor(folder)
    with (folder / "generation_config.json").open("wb") as file:
        file.truncate(2**26 + 1)
    with pytest.raises(CheckpointError, match=r"generation_config.json: has 67,108,865 bytes; .* are not read"):
        load_model(folder)
