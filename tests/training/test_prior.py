from __future__ import annotations

import numpy as np
import torch

from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.scoring import dual_matrix, score_matrix
from interbert.training.prior import fit_prior, set_prior


def test_a_telling_cosine_is_worth_much_and_a_blind_one_nothing() -> None:
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(200, 200))
    relevant = np.eye(200, dtype=bool)
    weight, offset = fit_prior(noise + 4.0 * relevant, relevant)
    assert weight > 1
    assert offset < 0
    blind, _ = fit_prior(generator.uniform(size=(200, 200)) - relevant, relevant)
    assert blind == 0.0


def test_pair_scores_hold_the_prior_and_forward_agrees() -> None:
    torch.manual_seed(0)
    config = InterBertConfig(
        vocab_size=50,
        hidden_size=16,
        num_attention_heads=2,
        intermediate_size=24,
        num_interaction_layers=1,
        num_text_layers=1,
        num_image_layers=1,
        image_num_attention_heads=2,
        image_intermediate_size=24,
        max_position_embeddings=16,
        region_feature_size=6,
        pooler_size=12,
        contrastive_size=8,
    )
    model = InterBertForImageTextRetrieval(config).eval()
    generator = np.random.default_rng(1)
    texts = [[1, 5, 9, 2], [1, 7, 2]]
    pictures = [
        (generator.normal(size=(3, 6)).astype(np.float32), generator.uniform(size=(3, 5)).astype(np.float32))
        for _ in range(3)
    ]
    plain = score_matrix(model, texts, pictures)
    set_prior(model, 5.0, -1.5)
    with_prior = score_matrix(model, texts, pictures)
    np.testing.assert_allclose(with_prior, plain + 5.0 * dual_matrix(model, texts, pictures) - 1.5, atol=0.03)
    with torch.no_grad():
        logits = model(
            input_ids=torch.tensor([texts[0]]),
            region_features=torch.from_numpy(pictures[2][0])[None],
            region_locations=torch.from_numpy(pictures[2][1])[None],
        ).logits
    assert abs(float(logits[0, 0] - logits[0, 1]) - with_prior[0, 2]) < 0.03  # scoring may run in bf16
