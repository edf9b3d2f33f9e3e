from __future__ import annotations

import numpy as np
import torch
from tests.conftest import tiny_config

from interbert.model.modeling import InterBertForPreTraining
from interbert.training.warm_start import start_image_side

SIZES = {"contrastive_size": 8, "num_text_layers": 1, "num_image_layers": 1, "image_num_attention_heads": 4}


def start(**sizes: int) -> tuple[InterBertForPreTraining, torch.Tensor, list[list[int]], bool]:
    torch.manual_seed(0)
    model = InterBertForPreTraining(tiny_config(**(SIZES | sizes))).eval()
    generator = torch.Generator().manual_seed(1)
    shown = torch.randint(0, 10, (400,), generator=generator)
    features = 100 * torch.nn.functional.one_hot(shown, 10).float() + torch.randn(400, 10, generator=generator)
    ids = [[1, 20 + int(one), 2] for one in shown]
    alike = start_image_side(model, features, ids)
    return model, features, ids, alike


def test_a_region_starts_as_the_word_its_pictures_are_called() -> None:
    model, features, ids, _ = start()
    words = model.interbert.text_embeddings.word_embeddings.weight.detach()[20:30]
    pseudo = features @ model.interbert.image_embeddings.feature_projection.weight.detach().T
    centred = words - words.mean(dim=0)
    nearest = (torch.nn.functional.normalize(pseudo, dim=1) @ torch.nn.functional.normalize(centred, dim=1).T).argmax(1)
    right = nearest.numpy() == np.array([text[1] - 20 for text in ids])
    assert right.mean() > 0.95


def test_image_layers_start_as_the_text_layers_where_they_fit() -> None:
    model, _, _, alike = start(image_intermediate_size=40)
    encoder = model.interbert.encoder
    assert alike
    for ours, theirs in zip(encoder.image_layers.parameters(), encoder.text_layers.parameters(), strict=True):
        assert ours.equal(theirs)
        assert ours is not theirs
    assert model.interbert.image_pooler.dense.weight.equal(model.interbert.text_pooler.dense.weight)


def test_other_image_layers_stay_as_they_are() -> None:
    model, _, _, alike = start(image_intermediate_size=32)
    assert not alike
    assert model.interbert.encoder.image_layers[0].intermediate.weight.shape[0] == 32
