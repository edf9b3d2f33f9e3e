"""Chinese BERTs as they are published, with a vocabulary made here, and which words it does not have."""

from __future__ import annotations

import csv
import json
import logging
import unicodedata
from pathlib import Path

import pytest
from tests.checkpoints.test_normalising import SMALL, bert, reloaded
from transformers import PreTrainedTokenizerBase

from interbert.checkpoints.bert import bert_tokenizer, published_tokenizer
from interbert.checkpoints.normalising import fitted_to_vocabulary
from interbert.checkpoints.unknown_words import UNKNOWN_WORDS, read_unknown_words, unknown_words
from interbert.checkpoints.vocabulary import grow_vocabulary
from interbert.checkpoints.word_pieces import given_word_pieces, learn_word_pieces

HAN = [chr(code) for code in range(0x4E00, 0x4E00 + 1100)]
KANA = [one for kana in "カセホチーア" for one in (kana, f"##{kana}")]
DIGITS = [one for digit in "0123456789" for one in (digit, f"##{digit}")]
KNOWN = [*"，！①㊣", "##①", "㎡", "##㎡", "##₂", *"\"'-.,!/", *"新款恤好元"]
PUBLISHED = Path(__file__).parents[2] / ".." / "shared" / "data" / "titles_zh" / "bert_base_chinese_vocab.txt"


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> str:
    return bert(tmp_path_factory.mktemp("chinese") / "bert", [*SMALL, *HAN, *KANA, *DIGITS, *KNOWN])


def test_the_same_texts_give_the_same_vocabulary() -> None:
    texts = [f"{number:03}{chr(0x4E00 + number % 300)}ab{chr(0x61 + number % 20)}" for number in range(400)]
    texts += [f"é{text}" for text in texts]
    first, again = (learn_word_pieces(texts, 200, 64) for _ in range(2))
    assert first.backend_tokenizer.to_str() == again.backend_tokenizer.to_str()
    assert first.all_special_tokens == ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
    assert sorted(first.get_added_vocab().values()) == [0, 1, 2, 3, 4]


@pytest.fixture(scope="module")
def fitted(chinese: str) -> PreTrainedTokenizerBase:
    return bert_tokenizer(chinese)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Nike T恤", ["n", "##i", "##k", "##e", "t", "恤"]),
        ("ＮＩＫＥ　ｎｉｋｅ", ["n", "##i", "##k", "##e"] * 2),
        ("６５㎡ 65㎏", ["6", "##5", "##㎡", "6", "##5", "##k", "##g"]),
        ("①新 ⑫款 Ⅲ", ["①", "新", "1", "##2", "款", "i", "##i", "##i"]),
        ("ガーゼ ｶﾞｰｾﾞ", ["カ", "##ー", "##セ"] * 2),
        ("“新款” — 好…", ['"', "新", "款", '"', "-", "好", ".", ".", "."]),
        ("新款，好！", ["新", "款", "，", "好", "！"]),
        ("㊣好 o₂", ["㊣", "好", "o", "##₂"]),
    ],
)
def test_what_shops_write_is_read(
    fitted: PreTrainedTokenizerBase, tmp_path: Path, text: str, tokens: list[str]
) -> None:
    assert fitted.tokenize(text) == tokens
    assert reloaded(fitted, tmp_path / "model").tokenize(text) == tokens


def test_a_text_that_the_published_tokenizer_reads_keeps_its_ids(chinese: str, fitted: PreTrainedTokenizerBase) -> None:
    published = published_tokenizer(chinese)
    text = "新款，恤 65㎡ ①好！nike ㊣ o₂"
    assert published.unk_token_id not in published(text)["input_ids"]
    assert fitted(text)["input_ids"] == published(text)["input_ids"]
    assert fitted.get_vocab() == published.get_vocab()


def test_what_is_done_is_said_once(chinese: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="interbert"):
        again = fitted_to_vocabulary(bert_tokenizer(chinese))
    (line,) = [one.getMessage() for one in caplog.records]
    assert line.startswith("vocabulary: it has no capitals, texts are read in small letters; ")
    assert "(NFKC)" in line
    assert fitted_to_vocabulary(again) is again


def test_words_that_become_unknown_are_counted_with_titles_that_have_them(chinese: str, tmp_path: Path) -> None:
    published = published_tokenizer(chinese)
    texts = ["Nike 新款", "Nike 恤", "Nike 好", "新款 ☎", "好好"]
    tokenizer, _ = grow_vocabulary(bert_tokenizer(chinese), texts, ["好"])
    found = unknown_words(published, tokenizer, texts)
    assert [(one.word, one.before, one.after, one.examples) for one in found.words] == [
        ("☎", 1, 1, ("新款 ☎",)),
        ("Nike", 3, 0, ("Nike 新款", "Nike 恤")),
    ]
    assert (found.share_before, found.share_after) == pytest.approx((4 / 12, 1 / 21))
    assert found.lines()[0] == "[UNK] among the tokens: 33.33% as published, 4.76% now (5 texts)"
    assert [line.strip() for line in found.lines()[2:]] == [
        "1        1  ☎: 新款 ☎",
        "all 2 words that are or were [UNK]: unknown_words.csv",
    ]
    found.write(tmp_path)
    assert read_unknown_words(tmp_path, 9) == list(found.words)
    rows = list(csv.reader((tmp_path / UNKNOWN_WORDS).read_text(encoding="utf-8").splitlines()))
    assert rows == [
        ["word", "before", "now", "example 1", "example 2"],
        ["☎", "1", "1", "新款 ☎"],
        ["Nike", "3", "0", "Nike 新款", "Nike 恤"],
    ]


def published_bert(folder: Path, lower: bool) -> str:
    folder.mkdir()
    (folder / "vocab.txt").write_bytes(PUBLISHED.read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lower}))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    return str(folder)


@pytest.mark.skipif(not PUBLISHED.exists(), reason="needs ../shared")
@pytest.mark.parametrize("lower", [False, True])
def test_every_character_that_the_published_vocabulary_knows_keeps_its_ids(tmp_path: Path, lower: bool) -> None:
    folder = published_bert(tmp_path / "bert", lower)
    published, fitted = published_tokenizer(folder), bert_tokenizer(folder)
    characters = [one for one in map(chr, range(0x80, 0x10000)) if not unicodedata.is_normalized("NFKC", one)]
    texts = [text for one in characters for text in (one, f"a{one}")]
    pairs = zip(texts, published(texts)["input_ids"], fitted(texts)["input_ids"], strict=True)
    changed = {text[-1] for text, before, now in pairs if published.unk_token_id not in before and before != now}
    words = {chr(code) for code in (*range(0xFF10, 0xFF5B), *range(0xFF66, 0xFFA0))}
    assert changed
    assert changed < words
    assert fitted.tokenize("ＡＢＣ") == fitted.tokenize("abc")


@pytest.mark.skipif(not PUBLISHED.exists(), reason="needs ../shared")
def test_the_published_vocabulary_reads_real_titles(tmp_path: Path) -> None:
    folder = published_bert(tmp_path / "bert", lower=False)
    lines = (PUBLISHED.parent / "product1m_dev.tsv").read_text(encoding="utf-8").splitlines()
    titles = [line.split("\t")[1] for line in lines[1:500]]
    found = unknown_words(published_tokenizer(folder), bert_tokenizer(folder), titles)
    assert found.share_before > 0.01
    assert found.share_after < 0.0005
    given = given_word_pieces(str(PUBLISHED), 128).get_vocab()
    assert given["\u2028"] == 343  # which ends no line
    assert len(given) == 21128
