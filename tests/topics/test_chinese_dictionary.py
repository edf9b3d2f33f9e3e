from __future__ import annotations

import pytest

from interbert.topics.chinese_dictionary import ChineseDictionary

ENTRIES = [
    ("手表", ["wrist watch", "CL:塊|块[kuai4]", "variant of 手錶[shou3 biao3]"]),
    ("表", ["surface"]),
    ("T恤", ["T-shirt"]),
    ("腕表", ["(Tw) a wristwatch", "also pr. [wan4 biao3]"]),
    ("手", ["hand"]),
    ("女士", ["lady", "(polite) lady", "to 女士"]),
    ("女士手", ["nothing that is meant"]),
    ("一二三四五六七八九", ["nine characters"]),
]


def test_meanings_leave_out_what_is_no_meaning() -> None:
    dictionary = ChineseDictionary(ENTRIES)
    assert dictionary.meanings("手表") == ["wrist watch"]
    assert dictionary.meanings("腕表") == ["wristwatch"]
    assert dictionary.meanings("女士") == ["lady", "to"]
    assert dictionary.meanings("手") == []
    assert dictionary.meanings("一二三四五六七八九") == []


def test_words_are_the_longest_from_the_left() -> None:
    dictionary = ChineseDictionary(ENTRIES)
    assert dictionary.words_in("新款女士手表, 男T恤 and 腕表") == ["女士手", "t恤", "腕表"]
    assert dictionary.words_in("a T-shirt") == []
    assert dictionary.words_in("") == []


@pytest.mark.parametrize(("word", "meaning"), [("太阳镜", "sunglasses"), ("太陽鏡", "sunglasses"), ("t恤", "T-shirt")])
def test_the_dictionary_is_there(word: str, meaning: str) -> None:
    assert meaning in ChineseDictionary.cedict().meanings(word)
    assert ChineseDictionary.cedict() is ChineseDictionary.cedict()


def test_words_that_no_title_has_are_said_in_english() -> None:
    dictionary = ChineseDictionary.cedict()
    assert dictionary.glosses("女士墨镜", "女士太阳镜\n男士手表") == ["女士 sunglasses"]
    assert dictionary.glosses("酸奶", "yoghurt") == ["yogurt"]
    assert len(dictionary.glosses("番茄", "tomato")) <= 3
    assert dictionary.glosses("太阳镜", "女士太阳镜") == []
    assert dictionary.glosses("red shirts and blue trousers", "") == []
    assert dictionary.glosses("囧囧", "") == []
