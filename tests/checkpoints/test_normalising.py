from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from interbert.checkpoints.bert import bert_tokenizer
from interbert.checkpoints.normalising import fitted_to_vocabulary, restore_normalizer
from interbert.checkpoints.vocabulary import grow_vocabulary
from interbert.model.processing import InterBertProcessor
from interbert.model.region_inputs import InterBertRegionFeatureExtractor

NAMES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<S>", "<T>"]
SMALL = [*"abcdefghijklmnopqrstuvwxyz", *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]
WORDS = ["nike", "t", "恤", "xx", "##l", "adidas", '"', "'", "-", ".", ",", "新", "款"]
MANY = [chr(code) for code in range(0x5000, 0x5050)]
TEXT = "Nike T恤 XXL ADIDAS"


def bert(folder: Path, tokens: list[str], lower: bool = False) -> str:
    """A folder with a vocabulary and the published settings of bert-base-chinese."""
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys([*NAMES, *tokens])) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lower, "model_max_length": 512}))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    return str(folder)


def reloaded(tokenizer: PreTrainedTokenizerBase, folder: Path) -> PreTrainedTokenizerBase:
    """As search and evaluation get it from a model directory."""
    regions = InterBertRegionFeatureExtractor({"name": "none", "settings": {}, "feature_size": 1, "num_classes": None})
    InterBertProcessor(regions, tokenizer, 36).save_pretrained(folder)
    found: PreTrainedTokenizerBase = InterBertProcessor.from_pretrained(str(folder)).tokenizer
    return found


def test_a_vocabulary_without_capitals_is_read_in_small_letters(tmp_path: Path) -> None:
    tokenizer = bert_tokenizer(bert(tmp_path / "bert", SMALL + WORDS + MANY))
    tokens = ["nike", "t", "恤", "xx", "##l", "adidas"]
    assert tokenizer.tokenize(TEXT) == tokens
    grown, growth = grow_vocabulary(tokenizer, [TEXT, TEXT], [TEXT])
    assert growth.added == ()
    assert grown is tokenizer
    for number, one in enumerate((tokenizer, grow_vocabulary(tokenizer, ["鞋鞋", "鞋"], ["鞋"])[0])):
        again = reloaded(one, tmp_path / f"model{number}")
        assert again.tokenize(TEXT) == tokens
        assert again("ADIDAS 新款")["input_ids"] == one("adidas 新款")["input_ids"]
        assert again.tokenize("[MASK]") == ["[MASK]"]
    assert tokenizer.unk_token_id not in tokenizer("Ｎike Café ÉCLAIR")["input_ids"][2:]


def test_signs_that_are_not_known_are_read_as_those_that_are(tmp_path: Path) -> None:
    tokenizer = bert_tokenizer(bert(tmp_path / "bert", SMALL + WORDS + MANY))
    again = reloaded(tokenizer, tmp_path / "model")
    for one in (tokenizer, again):
        assert one.tokenize("“新” ‘款’ a—b…") == one.tokenize("\"新\" '款' a-b...")
        assert "[UNK]" not in one.tokenize("“新” ‘款’ a—b – „a» … ′")
    _, growth = grow_vocabulary(tokenizer, ["“新” — …"] * 2, ["“新” — …"])
    assert growth.added == ()


def test_a_sign_that_is_known_stays_and_so_does_one_that_nothing_known_stands_for(tmp_path: Path) -> None:
    tokens = [one for one in SMALL + WORDS + MANY if one != "-"]
    tokenizer = bert_tokenizer(bert(tmp_path / "bert", [*tokens, "“", "”"]))
    assert tokenizer.tokenize("“a” ‘a’ —") == ["“", "a", "”", "'", "a", "'", "[UNK]"]


@pytest.mark.parametrize("grow", [False, True])
def test_a_vocabulary_with_capitals_keeps_them_in_a_model_directory_too(tmp_path: Path, grow: bool) -> None:
    signs = [*"\"'-.", *"“”„«»″‘’‚′`´‐‑‒–—―−…"]
    tokenizer = bert_tokenizer(bert(tmp_path / "bert", [*SMALL, *signs, "Nike", "A", "##D", *MANY]))
    if grow:
        tokenizer, growth = grow_vocabulary(tokenizer, ["Nike 鞋"] * 2, ["Nike 鞋"])
        assert growth.added == ("鞋",)
    assert tokenizer.tokenize("Nike AD") == ["Nike", "A", "##D"]
    assert reloaded(tokenizer, tmp_path / "model").tokenize("Nike AD") == ["Nike", "A", "##D"]


def test_a_model_of_an_earlier_version_reads_as_it_was_trained(tmp_path: Path) -> None:
    tokenizer = bert_tokenizer(bert(tmp_path / "bert", [*SMALL, "Nike", "A", *MANY]))
    tokenizer.save_pretrained(tmp_path / "model")
    file = tmp_path / "model" / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"do_lower_case": True}))
    again = bert_tokenizer(str(tmp_path / "model"))
    assert again.tokenize("Nike") != ["Nike"]
    restore_normalizer(again, tmp_path / "model")
    assert again.tokenize("Nike A") == ["Nike", "A"]


def test_what_lower_cases_already_is_left_as_it_is(tmp_path: Path) -> None:
    minilm = bert_tokenizer("minilm")
    assert fitted_to_vocabulary(minilm) is minilm
    assert type(minilm).__name__ == "BertTokenizer"
