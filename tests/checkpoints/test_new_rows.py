from __future__ import annotations

import torch

from interbert.checkpoints.vocabulary import companions, fill_new_rows

CLS, SEP, FISH, RED, DOG, FISH_ZH, RED_ZH, ALONE = 1, 2, 3, 4, 5, 6, 7, 8
KNOWN = 6
TEXTS = [
    (0, [CLS, RED, FISH, SEP]),
    (0, [CLS, RED_ZH, FISH_ZH, SEP]),
    (1, [CLS, FISH, SEP]),
    (1, [CLS, FISH_ZH, SEP]),
    (2, [CLS, RED, DOG, SEP]),
    (2, [CLS, RED_ZH, SEP]),
    (3, [CLS, DOG, SEP]),
    (3, [CLS, ALONE, SEP]),
]
IDS = [ids for _, ids in TEXTS]
GROUPS = [group for group, _ in TEXTS]
WORDS = {FISH, RED, DOG}


def test_a_new_piece_is_accompanied_by_its_translation() -> None:
    found = companions(KNOWN, IDS, GROUPS, WORDS)
    assert found[FISH_ZH] == [(FISH, 1.0)]
    assert found[RED_ZH] == [(RED, 1.0)]
    assert ALONE not in found  # met once only


def test_only_words_accompany() -> None:
    assert FISH_ZH not in companions(KNOWN, IDS, GROUPS, WORDS - {FISH})


def test_rows_start_at_their_companions_and_known_rows_stay() -> None:
    embedding = torch.randn(9, 64, generator=torch.Generator().manual_seed(3))
    before = embedding.clone()
    assert fill_new_rows(embedding, KNOWN, IDS, GROUPS, WORDS) == 2
    assert embedding[:KNOWN].equal(before[:KNOWN])

    def likeness(a: int, b: int) -> float:
        return float(torch.cosine_similarity(embedding[a], embedding[b], dim=0))

    assert likeness(FISH_ZH, FISH) > 0.95
    assert likeness(RED_ZH, RED) > 0.95
    assert abs(likeness(ALONE, FISH)) < 0.8
    again = before.clone()
    fill_new_rows(again, KNOWN, IDS, GROUPS, WORDS)
    assert again.equal(embedding)


def test_nothing_happens_when_nothing_is_new() -> None:
    embedding = torch.randn(9, 4)
    before = embedding.clone()
    assert fill_new_rows(embedding, 9, IDS, GROUPS, WORDS) == 0
    assert embedding.equal(before)
