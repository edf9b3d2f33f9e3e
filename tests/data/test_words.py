import pickle

import pytest

from interbert.data.texts import NearSame, words_of

TEXTS = [
    "Nike Mens Air Max, black",
    "nike  air max black (mens)",
    "Nike Mens Air Max blue",
    "红色圆形",
    "红色圆形。",
    "!!!",
    "???",
    "one two three four five six seven eight nine ten",
    "one two three four five six seven eight nine eleven",
    "ten nine eight seven six five four three two one zero",
]


@pytest.mark.parametrize(
    ("first", "second", "near"),
    [(0, 1, True), (0, 2, False), (3, 4, True), (5, 6, False), (7, 8, False), (7, 9, True), (0, 0, True)],
)
def test_texts_with_the_same_words_are_near(first, second, near):
    same = NearSame(TEXTS, 0.9)
    assert same(first, second) is same(second, first) is near
    assert pickle.loads(pickle.dumps(same))(first, second) is near


def test_words_of_chinese_are_characters_and_their_pairs():
    assert words_of("红色 T恤") == ["红", "色", "t", "恤", "红色"]
