"""Images compared with images, by trained vectors and by what the extractor saw."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.conftest import tiny_config

from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.tasks.likeness import components_of, fit_share, keep_likeness

KINDS = 6


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def of_kinds(generator: np.random.Generator, kinds: np.ndarray) -> np.ndarray:
    """Vectors [n,8] that are near those of their kind."""
    return unit(generator.normal(size=(KINDS, 8))[kinds] + 0.1 * generator.normal(size=(len(kinds), 8)))


def test_the_share_is_what_images_with_like_texts_ask_for(generator: np.random.Generator) -> None:
    kinds = np.arange(60) % KINDS
    texts = [f"kind{kind} number{place}" for place, kind in enumerate(kinds)]
    telling, noise = of_kinds(generator, kinds), unit(generator.normal(size=(60, 8)))
    assert fit_share(telling, noise, texts) < 0.5 < fit_share(noise, telling, texts)
    assert fit_share(telling, telling, texts) == 0.5  # nothing to choose
    assert fit_share(telling, noise, ["the same words"] * 60) == 0.5
    # each tells half of the kinds
    halves = [np.where(kinds < KINDS // 2, kinds, 0), np.where(kinds < KINDS // 2, 0, kinds)]
    one, other = (of_kinds(generator, half) for half in halves)
    assert 0.0 < fit_share(one, other, texts) < 1.0
    assert fit_share(telling[:9], noise[:9], texts[:9]) == fit_share(telling, noise, ["?"] * 60) == 0.5


def test_components_keep_how_alike_features_are(generator: np.random.Generator) -> None:
    features = generator.normal(size=(30, 3)) @ generator.normal(size=(3, 10)) + 5.0
    mean, components = components_of(features.astype(np.float32))
    np.testing.assert_allclose(mean, features.mean(axis=0), rtol=1e-5)
    assert components.shape == (10, 3)  # there are no more
    projected = (features - mean) @ components
    spread = projected.std(axis=0)
    centred = features - features.mean(axis=0)
    sizes = np.linalg.svd(centred, compute_uv=False)[:3] / np.sqrt(30)
    np.testing.assert_allclose(spread, np.sqrt(sizes), rtol=1e-3)  # half way to one
    assert components_of(np.full((30, 10), 0.3, np.float32))[1].shape == (10, 0)
    assert components_of(np.ones((1, 10), np.float32))[1].shape == (10, 0)


def test_a_model_keeps_them_and_loads_them_again(generator: np.random.Generator, tmp_path) -> None:
    torch.manual_seed(0)
    model = InterBertForImageTextRetrieval(tiny_config(contrastive_size=8)).eval()
    images = [
        (generator.normal(size=(3, 10)).astype(np.float32), generator.uniform(size=(3, 5)).astype(np.float32))
        for _ in range(40)
    ]
    texts = [f"word{place % 5}" for place in range(40)]
    share = keep_likeness(model, np.stack([one[0][0] for one in images[:30]]), images, texts)
    assert model.config.likeness_size == 10
    same = InterBertForImageTextRetrieval(tiny_config(contrastive_size=8)).eval()
    assert keep_likeness(same, np.ones((30, 10), np.float32), images, texts) is None
    assert same.config.likeness_size is None
    features = torch.from_numpy(np.stack([one[0] for one in images]))
    model.save_pretrained(tmp_path)
    again = InterBertForImageTextRetrieval.from_pretrained(tmp_path)
    assert again.config.likeness_share == share
    with torch.no_grad():
        seen = model.likeness(features)
        torch.testing.assert_close(again.likeness(features), seen)
        torch.testing.assert_close(seen.norm(dim=1), torch.ones(40))
