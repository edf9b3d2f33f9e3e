"""Chinese BERTs as they are published, with a vocabulary made here, and which words it does not have."""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path

import pytest
from tests.checkpoints.test_normalising import NAMES, SMALL, bert, reloaded
from transformers import PreTrainedTokenizerBase

from interbert.checkpoints.bert import bert_tokenizer, published_tokenizer
from interbert.checkpoints.normalising import fitted_to_vocabulary
from interbert.checkpoints.unknown_words import UNKNOWN_WORDS, unknown_words
from interbert.checkpoints.vocabulary import grow_vocabulary

HAN = [chr(code) for code in range(0x4E00, 0x4E00 + 1100)]
KANA = [one for kana in "カセホチーア" for one in (kana, f"##{kana}")]
DIGITS = [one for digit in "0123456789" for one in (digit, f"##{digit}")]
KNOWN = [*"，！①", "##①", "㎡", "##㎡", *"\"'-.,!/", *"新款恤好元"]
PUBLISHED = Path(__file__).parents[2] / ".." / "shared" / "data" / "titles_zh" / "bert_base_chinese_vocab.txt"


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> str:
    return bert(tmp_path_factory.mktemp("chinese") / "bert", [*SMALL, *HAN, *KANA, *DIGITS, *KNOWN])


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
    ],
)
def test_what_shops_write_is_read(
    fitted: PreTrainedTokenizerBase, tmp_path: Path, text: str, tokens: list[str]
) -> None:
    assert fitted.tokenize(text) == tokens
    assert reloaded(fitted, tmp_path / "model").tokenize(text) == tokens


def test_a_text_that_the_published_tokenizer_reads_keeps_its_ids(chinese: str, fitted: PreTrainedTokenizerBase) -> None:
    published = published_tokenizer(chinese)
    text = "新款，恤 65㎡ ①好！nike"
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
    assert str(found).splitlines()[0] == "[UNK] among the tokens: 33.33% as published, 4.76% now (5 texts)"
    found.write(tmp_path)
    rows = list(csv.reader((tmp_path / UNKNOWN_WORDS).read_text(encoding="utf-8").splitlines()))
    assert rows == [
        ["word", "before", "now", "example 1", "example 2"],
        ["☎", "1", "1", "新款 ☎"],
        ["Nike", "3", "0", "Nike 新款", "Nike 恤"],
    ]


@pytest.mark.skipif(not PUBLISHED.exists(), reason="needs ../shared")
def test_the_published_vocabulary_reads_real_titles(tmp_path: Path) -> None:
    tokens = PUBLISHED.read_text(encoding="utf-8").split("\n")[:-1]
    assert len(tokens) == 21128
    folder = tmp_path / "bert"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    lines = (PUBLISHED.parent / "product1m_dev.tsv").read_text(encoding="utf-8").splitlines()
    titles = [line.split("\t")[1] for line in lines[1:500]]
    found = unknown_words(published_tokenizer(str(folder)), bert_tokenizer(str(folder)), titles)
    assert found.share_before > 0.01
    assert found.share_after < 0.0005
    assert set(NAMES[:5]) < set(tokens)
