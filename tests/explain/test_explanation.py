"""Relevance against an independent computation, words of English and Chinese, occlusion, and what fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import draw, file_bytes, tiny_config
from tests.search.conftest import make_model, model  # noqa: F401  fixtures
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from interbert.checkpoints.directory import load_model, load_processor
from interbert.errors import ConfigError, RegionError, UsageError
from interbert.explain import Explanation, explain, occlusion
from interbert.explain.images import image_tokens
from interbert.explain.relevance import attended, explainable, token_relevance
from interbert.explain.words import tokenized
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.processing import InterBertProcessor
from interbert.model.scoring import score_listed_pairs

Model = InterBertForImageTextRetrieval
Opened = tuple[Model, InterBertProcessor]
RED = "A red circle, colourful"


@pytest.fixture(scope="module")
def opened(model: Path) -> Opened:  # noqa: F811
    """A tiny model with a dual score and a query bank, and its processor."""
    return load_model(model), load_processor(model)


@pytest.fixture(scope="module")
def found(opened: Opened) -> Explanation:
    return explain(*opened, RED, draw("red", "circle"))


def by_loops(retrieval: Model, ids: list[list[int]], image: torch.Tensor, regions: list[int]) -> list[list[float]]:
    """Chefer's rule written out for models of one layer each: whole layers, one pair and one number at a time."""
    rows = []
    for place, tokens in enumerate(ids):
        own = image[place : place + 1, : regions[place]]
        trunk = retrieval.interbert
        joint = torch.cat([own, trunk.text_embeddings(torch.tensor([tokens]))], dim=1)
        weights: list[torch.Tensor] = []

        def attend(layer: torch.nn.Module, hidden: torch.Tensor, weights: list[torch.Tensor] = weights) -> torch.Tensor:
            part = layer.attention
            heads = [one(hidden)[0].unflatten(-1, (-1, part.head_size)) for one in (part.query, part.key, part.value)]
            query, key, value = (one.transpose(0, 1) for one in heads)
            weights.append((query @ key.mT / part.head_size**0.5).softmax(-1))
            mixed = part.output((weights[-1] @ value).transpose(0, 1).flatten(1))[None]
            attended = layer.attention_layer_norm(mixed + hidden)
            inner = layer.output(layer.activation(layer.intermediate(attended)))
            return layer.output_layer_norm(inner + attended)

        after = attend(trunk.encoder.interaction_layers[0], joint)
        split = own.shape[1]
        pooled_image = trunk.image_pooler(attend(trunk.encoder.image_layers[0], after[:, :split]))
        pooled_text = trunk.text_pooler(attend(trunk.encoder.text_layers[0], after[:, split:]))
        logits = retrieval.matching_head(pooled_image * pooled_text)[0]
        grads = torch.autograd.grad(logits[0] - logits[1], weights)
        weights = [one.detach() for one in weights]
        passed = []
        for weight, grad in zip(weights, grads, strict=True):
            heads_of = weight.shape[0]
            passed.append(
                [
                    [
                        sum(max(float(weight[h, i, j] * grad[h, i, j]), 0.0) for h in range(heads_of)) / heads_of
                        for j in range(weight.shape[2])
                    ]
                    for i in range(weight.shape[1])
                ]
            )
        length = joint.shape[1]
        after_joint = [[float(i == j) + passed[0][i][j] for j in range(length)] for i in range(length)]
        total = []
        for j in range(length):
            image_row = after_joint[0][j] + sum(passed[1][0][k] * after_joint[k][j] for k in range(split))
            text_row = after_joint[split][j] + sum(
                passed[2][0][k] * after_joint[split + k][j] for k in range(length - split)
            )
            total.append(image_row + text_row - float(j == 0) - float(j == split))
        rows.append(total)
    return rows


def test_relevance_is_the_rule_written_out() -> None:
    torch.manual_seed(3)
    layers = {"num_interaction_layers": 1, "num_text_layers": 1, "num_image_layers": 1}
    retrieval = Model(tiny_config(initializer_range=0.4, **layers)).eval()
    ids, regions = [[5, 9, 17, 3], [5, 30, 3]], [3, 5]
    image = torch.randn(2, 5, retrieval.config.hidden_size)
    padded = torch.tensor([[5, 9, 17, 3], [5, 30, 3, 0]])
    masks = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]), torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    passed = attended(explainable(retrieval), padded, masks[0], image, masks[1])
    batch = token_relevance(passed).numpy()
    for row, expected in enumerate(by_loops(retrieval, ids, image, regions)):
        real = np.concatenate([masks[1][row], masks[0][row]]).astype(bool)
        assert max(expected) > 1e-3
        np.testing.assert_allclose(batch[row][real], expected, atol=1e-5)
        assert not batch[row][~real].any()


def test_the_explained_score_is_the_joint_one(opened: Opened, found: Explanation) -> None:
    retrieval, processor = opened
    (regions,) = processor.feature_extractor.regions([draw("red", "circle")])
    pair = (processor.texts_to_ids([RED]), [processor.image_inputs(regions)], np.array([0]), np.array([0]))
    whole = score_listed_pairs(retrieval, *pair, bf16=False)[0]
    assert found.dual_score is not None
    assert found.logit_difference + found.dual_score == pytest.approx(whole, abs=1e-4)
    assert found.probability == pytest.approx(1 / (1 + np.exp(-whole)), abs=1e-4)


def test_of_a_model_that_does_not_read_jointly_the_dual_score_alone_counts(opened: Opened, found: Explanation) -> None:
    retrieval, processor = opened
    retrieval.config.dual_score_offset = -1.25
    try:
        alone = explain(retrieval, processor, RED, draw("red", "circle"))
    finally:
        retrieval.config.dual_score_offset = None
    assert (found.counts, alone.counts) == (True, False)
    assert alone.dual_score == pytest.approx(found.dual_score - 1.25, abs=1e-5)
    assert alone.probability == pytest.approx(1 / (1 + np.exp(-alone.dual_score)), abs=1e-6)
    assert alone.logit_difference == pytest.approx(found.logit_difference, abs=1e-5)
    assert [one.score_without for one in alone.words] == pytest.approx([one.score_without for one in found.words])


def test_all_relevance_is_one(found: Explanation) -> None:
    parts = [one.relevance for one in (*found.words, *found.regions)] + [share for _, share in found.special]
    assert sum(parts) + found.global_relevance == pytest.approx(1.0, abs=1e-5)
    assert min(parts) >= 0.0
    assert [name for name, _ in found.special] == ["[CLS]", "[SEP]"]
    assert found.regions[0].box == (0.0, 0.0, 1.0, 1.0)
    assert len(found.links) == len(found.words)
    assert {len(one) for one in found.links} == {len(found.regions)} == {5}


def test_the_top_words_and_regions_have_the_score_without_them(opened: Opened, found: Explanation) -> None:
    removed = occlusion(*opened, RED, draw("red", "circle"))
    assert removed.score == pytest.approx(found.logit_difference, abs=1e-5)
    told = {place: one.score_without for place, one in enumerate(found.words) if one.score_without is not None}
    assert sorted(told) == sorted(found.top_words())
    assert len(told) == 3
    assert told == pytest.approx({place: removed.words[place] for place in told}, abs=1e-5)
    regions = {place: one.score_without for place, one in enumerate(found.regions) if one.score_without is not None}
    assert regions == pytest.approx({place: removed.regions[place] for place in found.top_regions()}, abs=1e-5)


def test_occlusion_is_the_score_of_what_is_left(opened: Opened) -> None:
    retrieval, processor = opened
    (regions,) = processor.feature_extractor.regions([draw("red", "circle")])
    features, locations = processor.image_inputs(regions)
    removed = occlusion(retrieval, processor, RED, (features, locations), words=[1], regions=[2])

    def scored(text: str, kept: list[int]) -> float:
        ids = processor.texts_to_ids([text])
        twin = explainable(retrieval)
        twin.config.dual_score_weight = None
        found = score_listed_pairs(
            twin, ids, [(features[kept], locations[kept])], np.array([0]), np.array([0]), bf16=False
        )
        return float(found[0])

    assert removed.words == pytest.approx({1: scored("A circle, colourful", [0, 1, 2, 3, 4, 5])}, abs=1e-4)
    assert removed.regions == pytest.approx({2: scored(RED, [0, 1, 2, 4, 5])}, abs=1e-4)
    assert abs(removed.words[1] - removed.score) > 1e-2


def test_a_model_stays_as_it_is(opened: Opened) -> None:
    retrieval, _ = opened
    retrieval.train()
    explain(*opened, "red", draw("red", "circle"))
    assert retrieval.training
    assert retrieval.config._attn_implementation == "sdpa"
    assert all(one.requires_grad and one.grad is None for one in retrieval.parameters())
    retrieval.eval()


def test_no_attention_that_counts_is_no_nan(make_model: Callable[..., Path]) -> None:  # noqa: F811
    folder = make_model(dual_score_weight=None, contrastive_size=None)
    retrieval = load_model(folder)
    torch.nn.init.zeros_(retrieval.matching_head.weight)
    silent = explain(retrieval, load_processor(folder), "red", draw("red", "circle"))
    assert silent.dual_score is None
    assert {one.relevance for one in (*silent.words, *silent.regions)} == {0.0}
    assert silent.global_relevance == 0.0


def test_word_pieces_are_folded(opened: Opened, found: Explanation) -> None:
    _, processor = opened
    assert [one.text for one in found.words] == ["A", "red", "circle", ",", "colourful"]
    assert all(RED[one.start : one.end] == one.text for one in found.words)
    read = tokenized(processor, "zyzzyvas 红裙 a")
    assert [one.text for one in read.words] == ["zyzzyvas", "红", "裙", "a"]
    assert len(read.words[0].pieces) > 1
    assert read.without([0, 2]) == [read.ids[0], *(read.ids[one.pieces[0]] for one in read.words[1::2]), read.ids[-1]]


def test_characters_of_one_piece_are_one_word(opened: Opened) -> None:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "红", "##色", "连衣", "##裙", "##连衣", "nike"]
    made = Tokenizer(models.WordPiece({word: place for place, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(handle_chinese_chars=False)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    processor = InterBertProcessor(opened[1].feature_extractor, PreTrainedTokenizerFast(tokenizer_object=made, **names))
    read = tokenized(processor, "Nike 红色 连衣裙")
    assert [(one.text, len(one.pieces)) for one in read.words] == [("Nike", 1), ("红色", 2), ("连衣裙", 2)]


def test_what_is_too_long_is_not_read(opened: Opened) -> None:
    _, processor = opened
    text = "red " * processor.max_text_tokens + "circle"
    read = tokenized(processor, text)
    assert len(read.words) == processor.max_text_tokens - 2
    assert read.unread == "red red circle"


def test_what_cannot_be_explained(opened: Opened) -> None:
    image = draw("red", "circle")
    with pytest.raises(UsageError, match="empty"):
        explain(*opened, "  ", image)
    with pytest.raises(UsageError, match="no word that the model knows"):
        explain(*opened, "\U0001f9f5", image)
    with pytest.raises(RegionError, match="locations"):
        explain(*opened, "red", (np.zeros((3, 4), np.float32), np.zeros((2, 5), np.float32)))
    slow = type("Slow", (), {"is_fast": False})()
    with pytest.raises(ConfigError, match="fast tokenizer"):
        tokenized(type("Processor", (), {"tokenizer": slow})(), "red")  # type: ignore[arg-type]


def test_an_images_file_says_what_its_regions_say(opened: Opened) -> None:
    retrieval, processor = opened
    image = draw("red", "circle")
    (regions,) = processor.feature_extractor.regions([image])
    by_file, by_regions = (image_tokens(retrieval, processor, one) for one in (file_bytes(image), regions))
    np.testing.assert_array_equal(by_file.embedded, by_regions.embedded)
    np.testing.assert_array_equal(by_file.boxes, by_regions.boxes)
