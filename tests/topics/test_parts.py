"""Parts of topic pages that need no model: spelling, made topics, examples, calibration, diversity."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit

from interbert.topics.calibration import diversified, fit_calibration, likely_count
from interbert.topics.evaluation import relevant_products
from interbert.topics.examples import Examples, TopicText, VisualFeatureSpace, char_ngrams, pooled_visual_features
from interbert.topics.facets import Facets, facets_among
from interbert.topics.phrases import common_phrases
from interbert.topics.topic_file import Topic

RNG = np.random.default_rng


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def three_kinds(each: int = 30) -> Examples:
    """Watches, shoes and bags: images and texts of a kind lie together, in two languages."""
    facets = [("watch", "手表"), ("shoes", "鞋子"), ("handbag", "手提包")]
    centres = unit(RNG(0).normal(size=(3, 16)))
    owner = np.repeat(np.arange(3), each)
    noise = RNG(1)
    images = unit(centres[owner] + 0.1 * noise.normal(size=(3 * each, 16)))
    fields = np.stack([unit(centres[owner] + 0.1 * noise.normal(size=(3 * each, 16))) for _ in range(2)])
    texts = [f"brand{place} for {facets[kind][0]} {facets[kind][1]}" for place, kind in enumerate(owner)]
    return Examples(images, pooled_of(images), ("title", "title_zh"), fields, tuple(texts), Facets.none(3 * each, 16))


def pooled_of(images: np.ndarray) -> np.ndarray:
    """Region tokens that say what the vectors say, in other numbers."""
    return (images @ RNG(9).normal(size=(16, 32))).astype(np.float32)


def test_spelling_is_parts_of_words_and_neighbouring_characters() -> None:
    assert {"<wat", "atch"} <= {*char_ngrams("Watches")} & {*char_ngrams("watch")}
    assert char_ngrams("女士红裙") == [*"女士红裙", "女士", "士红", "红裙", "女士红", "士红裙"]
    assert "包" in {*char_ngrams("背包")} & {*char_ngrams("双肩包")}
    assert char_ngrams("tie") == ["<tie", "tie>"]
    assert char_ngrams("T恤") == ["<t>", "恤"]
    assert char_ngrams("🎉 ,") == []


def test_a_topic_finds_the_images_of_its_titles() -> None:
    examples = three_kinds()
    aim = unit(examples.vectors[0, 30:60].mean(axis=0))
    labels = examples.labels([TopicText("鞋子", aim)])
    assert 0.5 < labels.max() <= 1
    assert labels[30:60].min() > np.delete(labels, np.s_[30:60]).max()
    others = unit(examples.images + 0.1 * RNG(5).normal(size=examples.images.shape))
    transfer = examples.transfer(examples.neighbours(others, pooled_of(others)), labels)
    assert transfer[30:60].min() > np.delete(transfer, np.s_[30:60]).max()
    assert (transfer <= 0).all()
    prototypes = examples.prototypes(labels, 3)
    assert (prototypes @ aim).min() > 0.5


def test_shared_spelling_labels_where_vectors_say_nothing() -> None:
    labels = three_kinds().labels([TopicText("watches", np.zeros(16, np.float32))])
    assert labels[:30].min() > labels[30:].max()


def test_an_image_s_score_does_not_depend_on_other_images() -> None:
    examples = three_kinds()
    aim = unit(examples.vectors[0, :30].mean(axis=0))
    labels = examples.labels([TopicText("watch", aim)])

    def transferred(images: np.ndarray) -> np.ndarray:
        return examples.transfer(examples.neighbours(images, pooled_of(images)), labels)

    alone = np.concatenate([transferred(one[None]) for one in examples.images])
    np.testing.assert_allclose(alone, transferred(examples.images), rtol=1e-5, atol=1e-5)


def test_images_that_are_all_the_same_are_no_error() -> None:
    same = np.ones((50, 8), dtype=np.float32)
    assert np.isfinite(VisualFeatureSpace(same).project(same)).all()


def test_a_look_is_the_mean_of_the_tokens_and_the_global_one_whatever_their_number() -> None:
    tokens = [RNG(0).normal(size=(count, 4)).astype(np.float32) for count in (3, 1)]
    found = pooled_visual_features(tokens)
    np.testing.assert_allclose(found[0], [*tokens[0].mean(axis=0), *tokens[0][0]], rtol=1e-6)
    np.testing.assert_allclose(found[1], [*tokens[1][0], *tokens[1][0]], rtol=1e-6)


def test_components_are_scaled_to_the_root_of_their_deviation() -> None:
    pooled = (RNG(3).normal(size=(4000, 3)) * np.array([9.0, 4.0, 1.0]) + 5).astype(np.float32)
    space = VisualFeatureSpace(pooled)
    deviations = (space._pca.transform(pooled) * space._scale).std(axis=0)
    np.testing.assert_allclose(deviations, [3.0, 2.0, 1.0], rtol=0.05)
    np.testing.assert_allclose(np.linalg.norm(space.known, axis=1), 1.0, rtol=1e-5)


ROWS = [("men", "shirt", "blue"), ("men", "shirt", "red"), ("women", "skirt", "red"), ("", "shirt", "blue")]


def test_kinds_are_values_and_up_to_three_together_that_several_products_have() -> None:
    texts, members = facets_among([*ROWS * 4, ("women", "shirt", "blue")])
    held = {text: np.flatnonzero(members[:, place].toarray().ravel()).tolist() for place, text in enumerate(texts)}
    assert {"shirt", "men", "red", "blue", "shirt men", "shirt blue"} == {text for text in texts if len(held[text]) > 6}
    assert held["men"] == [row for row in range(16) if row % 4 < 2]
    assert "blue women shirt" not in held  # one product
    assert facets_among([])[0] == []
    assert facets_among([()])[0] == []
    assert facets_among([(), ()])[1].shape == (2, 0)


def test_kinds_of_many_columns_with_long_texts_are_few_and_quickly_found() -> None:
    draws = RNG(0)
    values = draws.integers(0, 3, (2000, 40))
    rows = [(f"described at length {row} " * 50, *map(str, values[row])) for row in range(2000)]
    texts, members = facets_among(rows)
    assert len(texts) < 3**3 * 9 * 8 * 7
    assert not any("described" in text for text in texts)
    assert members.shape == (2000, len(texts))


def test_products_of_the_kind_that_a_topic_asks_for_fit_it_alike_whatever_else_they_are() -> None:
    texts, members = facets_among(ROWS * 5)
    vectors = unit(RNG(2).normal(size=(len(texts), 64)))
    facets = Facets(tuple(texts), vectors, members)
    wanted = unit(vectors[texts.index("shirt")] + 0.02 * RNG(3).normal(size=64))
    fit = facets.fit("shirts", wanted)
    assert fit is not None
    shirts = np.array([row[1] == "shirt" for row in ROWS * 5])
    assert fit[shirts].min() > fit[~shirts].max()
    assert np.ptp(fit[shirts]) < 0.1 * (fit[shirts].min() - fit[~shirts].max())
    assert facets.fit("衬衫", wanted) is None
    assert Facets.none(20, 64).fit("shirts", wanted) is None
    chosen = facets.select(shirts)
    assert chosen.members.shape == (15, len(texts))


def test_made_topics_are_what_titles_share_and_all_that_have_it_fit() -> None:
    titles = [f"brand{place} men {colour} shirt" for place in range(4) for colour in ("red", "blue")]
    made = {phrase.text: phrase.members.tolist() for phrase in common_phrases(titles, 30)}
    assert "men red shirt" in made
    assert made["men red shirt"] == [0, 2, 4, 6]
    assert not any("brand" in text for text in made)
    chinese = ["甲牌红色连衣裙", "乙牌红色连衣裙", "丙牌红色连衣裙", "丁牌蓝色衬衫", "", "", "", ""]
    found = {phrase.text: phrase.members.tolist() for phrase in common_phrases(chinese, 10)}
    assert found["牌红色连衣裙"] == [0, 1, 2]
    assert common_phrases([], 5) == []
    assert common_phrases(titles, 10, seed=3)[0].text == common_phrases(titles, 10, seed=3)[0].text


def test_probabilities_are_as_often_right_as_they_say() -> None:
    draws = RNG(0)
    transfer = draws.normal(size=50_000)
    relevant = draws.random(50_000) < expit(2 * transfer - 1)
    found = fit_calibration(transfer, relevant, 10)
    assert found.weight == pytest.approx(2, abs=0.1)
    assert found.label_frequency > 0.9
    likely = found.probability(found.logit(transfer))
    for low in (0.1, 0.4, 0.7):
        near = (likely >= low) & (likely < low + 0.2)
        assert relevant[near].mean() == pytest.approx(likely[near].mean(), abs=0.05)
    assert relevant[likely >= 0.5].mean() == pytest.approx(found.precision, abs=0.03)


def test_what_titles_leave_out_is_allowed_for() -> None:
    draws = RNG(0)
    transfer = draws.uniform(-6, 0, size=50_000)
    relevant = draws.random(50_000) < expit(4 * transfer + 6)
    said = relevant & (draws.random(50_000) < 0.6)
    found = fit_calibration(transfer, said, 10)
    assert found.label_frequency == pytest.approx(0.6, abs=0.05)
    sure = found.probability(found.logit(transfer)) >= 0.5
    assert found.precision == pytest.approx(relevant[sure].mean(), abs=0.08)


def test_a_score_that_would_count_against_relevance_is_left_out() -> None:
    transfer = RNG(0).normal(size=500)
    assert fit_calibration(transfer, transfer < 0, 3).weight == 0


def test_a_page_shows_what_is_likelier_relevant_than_not_or_the_best_there_is() -> None:
    assert likely_count(np.array([0.99, 0.98, 0.97, 0.2, 0.01]), None) == 3
    assert likely_count(np.array([0.3, 0.29, 0.28, 0.01]), None) == 3  # all below a half: no empty page
    assert likely_count(np.array([]), None) == 0
    assert likely_count(np.array([0.9, 0.5, 0.4]), 0.5) == 2
    assert likely_count(np.array([0.3, 0.2]), 0.5) == 0
    assert likely_count(np.array([0.3, 0.2]), 0.0) == 2


def test_diversity_trades_probability_for_other_looks_and_other_brands() -> None:
    likely = np.array([0.9, 0.89, 0.88, 0.3])
    vectors = unit(np.array([[1.0, 0], [1, 0.01], [0, 1], [0.7, 0.7]]))
    assert diversified(likely, vectors, [], 0.0, 3) == [0, 1, 2]
    assert diversified(likely, vectors, [], 0.1, 3) == [0, 2, 1]
    assert diversified(likely, vectors, [], 1.0, 2) == [0, 2]
    same_look = np.ones((4, 1), dtype=np.float32)
    brands = ["a", "a", "b", "c"]
    assert diversified(likely, same_look, [brands], 0.1, 2) == [0, 2]
    assert diversified(likely, same_look, [[None] * 4], 0.1, 2) == [0, 1]
    assert diversified(likely[:1], vectors[:1], [], 0.5, 9) == [0]
    assert diversified(likely[:0], vectors[:0], [], 0.5, 9) == []


@pytest.mark.parametrize(
    ("values", "listed", "relevant"),
    [
        (pa.array([5, 50, None]), ["5"], {"0"}),
        (pa.array([5.0, 50.0, None]), ["5"], {"0"}),
        (pa.array([5.0, 5.5, None]), ["5.0", "5.5"], {"0", "1"}),
        (pa.array([["new", "red"], ["reddish"], []]), ["red", "blue"], {"0"}),
        (pa.array(["red", "red hat", None]), ["red"], {"0"}),
        (pa.array([True, False, None]), ["True"], {"0"}),
        (pa.array(["2026-01-05", "2026-01-06", None]), ["2026-01-05"], {"0"}),
    ],
)
def test_a_rule_of_relevance_names_values_of_every_kind(
    values: pa.Array, listed: list[str], relevant: set[str]
) -> None:
    table = pa.table({"product_id": ["0", "1", "2"], "m_x": values})
    index = SimpleNamespace(
        metadata_columns=[SimpleNamespace(name="x", field="m_x")],
        scan=lambda fields, rows: table.select(fields).to_batches(rows),
    )
    recommender: Any = SimpleNamespace(index=index)
    assert relevant_products(recommender, [Topic("t", ("t",), relevant={"x": listed})]) == ({"t": relevant}, 3)
