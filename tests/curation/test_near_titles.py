"""Near-duplicate titles against brute force, and what must not become quadratic."""

from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pytest

from interbert.curation import near_titles, set_join
from interbert.curation.groups import group_rows
from interbert.curation.near_titles import NearTitleOptions, near_title_pairs
from interbert.errors import ConfigError

HAN = "".join(chr(0x4E00 + place) for place in range(600))


def made_titles(count: int, seed: int, longest: int = 60) -> list[str]:
    """Random titles of 1 to ``longest`` characters, half of them with a few edits of an earlier one."""
    rng = random.Random(seed)
    titles = ["".join(rng.choices(HAN, k=rng.randint(1, longest))) for _ in range(count // 2)]
    while len(titles) < count:
        title = rng.choice(titles)
        for _ in range(rng.randint(0, 3)):
            place = rng.randrange(len(title))
            title = title[:place] + rng.choice(["", rng.choice(HAN), title[:2]]) + title[place + 1 :] or "字"
        titles.append(title)
    rng.shuffle(titles)
    return titles


def gram_set(title: str, characters: int) -> set[str]:
    """One n-gram, of fewer characters, for a title that is shorter."""
    return {title[place : place + characters] for place in range(max(1, len(title) - characters + 1))}


def brute_force(titles: list[str], options: NearTitleOptions) -> set[tuple[int, int]]:
    sets = [gram_set(title, options.characters) for title in titles]
    return {
        (left, right)
        for left, right in combinations(range(len(titles)), 2)
        if len(sets[left] & sets[right]) / len(sets[left] | sets[right]) >= options.jaccard
    }


@pytest.mark.parametrize(
    "options", [NearTitleOptions(), NearTitleOptions(0.6, characters=3), NearTitleOptions(0.7, characters=1)]
)
def test_every_pair_is_real_and_every_real_pair_is_connected(options: NearTitleOptions) -> None:
    titles = made_titles(400, seed=1)
    real = brute_force(titles, options)
    pairs = list(map(tuple, near_title_pairs(titles, options).tolist()))
    assert len(real) > 100
    assert set(pairs) <= real
    assert pairs == sorted(set(pairs))
    expected = group_rows(len(titles), np.array(sorted(real)))
    assert group_rows(len(titles), np.array(pairs)).tolist() == expected.tolist()


def test_neither_the_order_of_rows_nor_the_seed_changes_the_groups() -> None:
    titles = made_titles(400, seed=2)
    groups = group_rows(len(titles), near_title_pairs(titles, NearTitleOptions()))
    assert len(set(groups.tolist())) < 340
    other_seed = near_title_pairs(titles, NearTitleOptions(seed=7))
    assert group_rows(len(titles), other_seed).tolist() == groups.tolist()
    back = near_title_pairs(titles[::-1], NearTitleOptions())
    assert group_rows(len(titles), len(titles) - 1 - back).tolist() == groups.tolist()


def test_a_jaccard_index_that_equals_the_threshold_is_enough() -> None:
    options = NearTitleOptions(0.8, characters=1)
    assert near_title_pairs(["甲乙丙丁", "甲乙丙丁戊"], options).tolist() == [[0, 1]]
    assert near_title_pairs(["甲乙丙丁", "甲乙丙己戊"], options).tolist() == []


def test_titles_shorter_than_an_n_gram_are_near_equal_ones_alone() -> None:
    titles = ["红", "蓝", "", "红", "红色", "", "蓝色", "\ud800", "红红红", "红红", "\ud800红\U0001f600"]
    assert near_title_pairs(titles, NearTitleOptions()).tolist() == [[0, 3], [8, 9]]
    assert near_title_pairs(titles, NearTitleOptions(characters=3)).tolist() == [[0, 3]]
    assert near_title_pairs([], NearTitleOptions()).shape == (0, 2)


def test_of_long_titles_a_pair_with_few_differences_is_found() -> None:
    """They have more n-grams than any number of parts is meant for."""
    text = "".join(random.Random(3).choices(HAN, k=4000))
    titles = [text, text[:100] + text[200:], text[::-1]]
    assert near_title_pairs(titles, NearTitleOptions()).tolist() == [[0, 1]]


def test_equal_titles_are_pairs_with_the_first() -> None:
    titles = ["正品面霜五十克"] * 2000 + ["另外的一个标题"]
    pairs = near_title_pairs(titles, NearTitleOptions())
    assert pairs.tolist() == [[0, other] for other in range(1, 2000)]


def test_thousands_of_titles_that_are_all_near_cost_no_quadratic_work(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def counting(titles, left, right, characters):  # type: ignore[no-untyped-def]
        compared.append(len(left))
        return exact(titles, left, right, characters)

    exact = near_titles.jaccard
    monkeypatch.setattr(near_titles, "jaccard", counting)
    titles = [HAN[:40] + one + other for one in HAN[100:140] for other in HAN[200:240]]
    pairs = near_title_pairs(titles, NearTitleOptions())
    assert not group_rows(len(titles), pairs).any()
    assert len(titles) - 1 <= len(pairs) <= sum(compared) < 100 * len(titles)  # of 1.3 million


def test_a_key_that_thousands_share_gives_each_a_window_of_neighbours() -> None:
    keys = np.zeros((3000, 2), np.uint32)
    keys[:, 1] = np.arange(3000) % 1500  # two by two they share the second key too
    shuffled = np.random.default_rng(0).permutation(3000)
    part_keys = set_join.PartKeys(np.arange(3000), keys[shuffled])
    blocks = list(set_join.candidate_pairs(part_keys, np.zeros(3000, np.uint64), most_unlike=0, window=10))
    pairs = [pair for left, right in blocks for pair in zip(left.tolist(), right.tolist(), strict=True)]
    assert 9 * 2900 < len(pairs) < 9 * 3000 + 1500
    alike = {tuple(sorted(np.flatnonzero(shuffled % 1500 == one).tolist())) for one in range(1500)}
    assert alike <= set(pairs)


def test_progress_reaches_its_end() -> None:
    seen: list[tuple[int, int]] = []
    near_title_pairs(made_titles(50, seed=4), NearTitleOptions(), lambda done, steps: seen.append((done, steps)))
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"jaccard": 0.2}, "jaccard: 0.2"),
        ({"characters": 4}, "characters: 4"),
        ({"window": 1}, "window: 1"),
        ({"seed": -1}, "seed: -1"),
    ],
)
def test_impossible_options_are_named(values: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NearTitleOptions(**values)  # type: ignore[arg-type]
