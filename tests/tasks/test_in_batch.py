import pytest
import torch

from interbert.tasks.contrast import choose_in_batch, hard_batch


def draws(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 2, count, generator=torch.Generator().manual_seed(seed))


def test_what_is_right_is_never_chosen_and_a_sample_without_wrong_ones_says_so():
    same = torch.eye(6, dtype=torch.bool)
    same[0, 1] = same[1, 0] = True
    same[5] = same[:, 5] = True
    for seed in range(50):
        images, texts, usable = choose_in_batch(torch.zeros(6, 6), same, draws(6, seed), torch.tensor(1.0))
        for sample in range(5):
            assert not same[sample, images[sample]]
            assert not same[texts[sample], sample]
    assert usable.tolist() == [True] * 5 + [False]


@pytest.mark.parametrize("hardness", [0.0, 0.5, 1.0])
def test_choices_are_as_often_as_the_softmax_says(hardness):
    scores = torch.tensor([[9.0, 1.0, 2.0, 0.0]] * 4)
    same = torch.eye(4, dtype=torch.bool)
    counts = torch.zeros(4)
    rounds = 4000
    for seed in range(rounds):
        images, _, _ = choose_in_batch(scores, same, draws(4, seed), torch.tensor(hardness))
        counts[images[0]] += 1
    expected = (scores[0, 1:] * hardness).softmax(dim=0)
    assert counts[0] == 0
    assert torch.allclose(counts[1:] / rounds, expected, atol=0.03)


def test_texts_are_chosen_by_column():
    scores = torch.zeros(3, 3)
    scores[2, 0] = 50.0  # text 2 is like image 0
    same = torch.eye(3, dtype=torch.bool)
    _, texts, _ = choose_in_batch(scores, same, draws(3), torch.tensor(1.0))
    assert texts[0] == 2


def test_blocks_are_true_pairs_then_wrong_images_then_wrong_texts():
    texts, images = torch.tensor([0, 1, 2]), torch.tensor([10, 11, 12])
    wrong_texts, wrong_images = torch.tensor([1, 2, 0]), torch.tensor([2, 0, 1])
    assert hard_batch(texts, wrong_texts, first=False).tolist() == [0, 1, 2, 0, 1, 2, 1, 2, 0]
    assert hard_batch(images, wrong_images, first=True).tolist() == [10, 11, 12, 12, 10, 11, 10, 11, 12]
