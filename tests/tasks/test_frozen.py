"""Search by titles and features alone, on vectors typed by hand."""

from __future__ import annotations

import numpy as np

from interbert.tasks.frozen import scores_by_titles

EYE = np.eye(3, dtype=np.float32)


def test_a_text_finds_what_images_with_titles_like_it_look_like() -> None:
    titles = ["red apple", "green apple", "ripe banana"]
    scores = scores_by_titles(titles, EYE, ["a banana", "red apples, apple", "nothing of it"], EYE)
    assert scores[0].argmax() == 2
    assert scores[1].argmax() == 0
    assert 0 < scores[1, 1] < scores[1, 0]
    assert not scores[2].any()  # ties, which count against it


def test_titles_without_words_find_nothing() -> None:
    assert not scores_by_titles(["!"], EYE[:1], ["red"], EYE).any()


def test_many_texts_are_scored_as_each_alone() -> None:
    titles, texts = ["red apple", "ripe banana"], ["red", "banana"] * 150
    scores = scores_by_titles(titles, EYE[:2], texts, EYE)
    assert scores.shape == (300, 3)
    assert np.array_equal(scores[298:], scores[:2])
    assert scores[299].argmax() == 1
