import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from interbert.checkpoints.bert import bert_tokenizer
from interbert.checkpoints.vocabulary import (
    UNKNOWN_TARGET,
    grow_vocabulary,
    unknown_share,
    worst_unknown_share,
)
from interbert.errors import CheckpointError

ENGLISH = ["a red leather shoe", "blue cotton shirt, size 42", "naïve café chairs"]
CHINESE = ["红色真皮女鞋新款", "蓝色纯棉衬衫女士春季", "不锈钢炒锅家用", "儿童运动鞋男童", "婴儿连体衣纯棉"]


@pytest.fixture(scope="module")
def minilm():
    return bert_tokenizer("minilm")


@pytest.fixture(scope="module")
def grown(minilm):
    return grow_vocabulary(minilm, ENGLISH + CHINESE, ENGLISH + CHINESE)


def ids_of(tokenizer, text):
    return tokenizer(text)["input_ids"]


def test_chinese_becomes_known(minilm, grown):
    tokenizer, growth = grown
    assert unknown_share(minilm, CHINESE) > 0.2
    assert growth.unknown_before == pytest.approx(unknown_share(minilm, CHINESE))
    assert growth.unknown_after == pytest.approx(worst_unknown_share(tokenizer, ENGLISH + CHINESE))
    assert unknown_share(tokenizer, CHINESE) < UNKNOWN_TARGET == 0.01
    assert len(tokenizer) == len(minilm) + len(growth.added)


def test_a_chinese_text_is_its_characters(grown):
    tokenizer, _ = grown
    assert tokenizer.tokenize("儿童炒锅") == ["儿", "童", "炒", "锅"]
    assert tokenizer.decode(ids_of(tokenizer, "红色 shoe"), skip_special_tokens=True) == "红 色 shoe"


def test_known_pieces_keep_their_ids(minilm, grown):
    tokenizer, growth = grown
    old, new = minilm.get_vocab(), tokenizer.get_vocab()
    assert old.items() <= new.items()
    assert {new[token] for token in growth.added} == set(range(len(minilm), len(tokenizer)))
    assert tokenizer.all_special_ids == minilm.all_special_ids


@settings(deadline=None, max_examples=100)
@given(st.text(st.sampled_from("aé 1-红色锅xyz!"), max_size=12))
def test_what_was_known_is_read_as_before(minilm, grown, text):
    before, after = ids_of(minilm, text), ids_of(grown[0], text)
    if minilm.unk_token_id not in before:
        assert after == before
    assert len(after) >= len(before)
    assert after.count(minilm.unk_token_id) <= before.count(minilm.unk_token_id)


def test_the_old_tokenizer_is_left_alone(minilm):
    before = len(minilm), ids_of(minilm, CHINESE[2])
    grow_vocabulary(minilm, CHINESE, CHINESE, min_count=1)
    assert (len(minilm), ids_of(minilm, CHINESE[2])) == before


def test_nothing_is_added_when_nothing_is_missing(minilm):
    tokenizer, growth = grow_vocabulary(minilm, ENGLISH, ENGLISH, min_count=1)
    assert growth.added == ()
    assert growth.unknown_before == growth.unknown_after == 0
    assert tokenizer is minilm


def test_rare_characters_are_added_only_when_they_are_needed(minilm):
    training = ["炒炒锅锅", "炒锅鞋", "衬"]
    often = grow_vocabulary(minilm, training, ["炒锅"])[1]
    assert set(often.added) == {"炒", "锅"}
    assert set(grow_vocabulary(minilm, training, ["炒锅鞋衬"])[1].added) == {"炒", "锅", "鞋", "衬"}


def test_characters_that_only_validation_shows_come_from_gb2312(minilm):
    validation = [*ENGLISH, "红色榴莲蛋糕配咖啡", "紫砂茶壶"]
    tokenizer, growth = grow_vocabulary(minilm, ["红鞋", *ENGLISH], validation)
    assert unknown_share(tokenizer, validation) == growth.unknown_after == 0
    assert len(tokenizer) == len(minilm) + len(growth.added)
    assert minilm.get_vocab().items() <= tokenizer.get_vocab().items()
    assert unknown_share(grow_vocabulary(minilm, ENGLISH, validation)[0], validation) > 0


def test_a_word_with_a_strange_letter_gets_word_start_and_continuation(minilm):
    tokenizer, growth = grow_vocabulary(minilm, ["sko⚕", "⚕sko"], ["sko⚕"], min_count=1)
    assert unknown_share(tokenizer, ["sko⚕ ⚕sko"]) == 0
    assert growth.unknown_after == 0


def test_the_worse_language_counts(minilm):
    assert worst_unknown_share(minilm, ENGLISH * 100 + CHINESE) == unknown_share(minilm, CHINESE)
    assert worst_unknown_share(minilm, []) == unknown_share(minilm, []) == 0


def test_a_grown_tokenizer_survives_saving(grown, tmp_path):
    tokenizer, _ = grown
    tokenizer.save_pretrained(tmp_path)
    loaded = bert_tokenizer(str(tmp_path))
    for text in ENGLISH + CHINESE:
        assert ids_of(loaded, text) == ids_of(tokenizer, text)


def test_a_grown_tokenizer_grows_again(grown):
    tokenizer, _ = grown
    again, growth = grow_vocabulary(tokenizer, ["榴莲蛋糕"], ["榴莲蛋糕"], min_count=1)
    assert unknown_share(again, ["榴莲蛋糕", *CHINESE]) < 0.01
    assert tokenizer.get_vocab().items() <= again.get_vocab().items()
    assert growth.added


def test_a_tokenizer_that_is_not_wordpiece_is_refused():
    bpe = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE()), unk_token="[UNK]")
    with pytest.raises(CheckpointError, match="not a WordPiece tokenizer"):
        grow_vocabulary(bpe, CHINESE, CHINESE)
