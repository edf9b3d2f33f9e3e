"""Parts of topic pages that need no model: spelling, made topics, examples, calibration, diversity."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.kernel_ridge import KernelRidge

from interbert.search.topics.calibration import fit_calibration, probabilities
from interbert.search.topics.char_ngrams import NgramTable, char_ngrams
from interbert.search.topics.diversity import diversified
from interbert.search.topics.evaluation import relevant_products
from interbert.search.topics.examples import Examples, TopicText
from interbert.search.topics.facets import Facets, facets_among
from interbert.search.topics.nearest_words import KnownWords
from interbert.search.topics.phrases import common_phrases
from interbert.search.topics.topic_file import Topic
from interbert.search.topics.visual_features import KernelRegression, VisualFeatureSpace, pooled_visual_features

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
    return Examples.of(images, pooled_of(images), ["title", "title_zh"], fields, fields, texts)


def pooled_of(images: np.ndarray) -> np.ndarray:
    """Region tokens that say what the vectors say, in other numbers."""
    return (images @ RNG(9).normal(size=(16, 32))).astype(np.float32)


def test_spelling_is_parts_of_words_and_neighbouring_characters() -> None:
    assert {"<wat", "atch"} <= char_ngrams("Watches") & char_ngrams("watch")
    assert char_ngrams("女士红裙") == {*"女士红裙", "女士", "士红", "红裙", "女士红", "士红裙"}
    assert "包" in char_ngrams("背包") & char_ngrams("双肩包")
    assert char_ngrams("tie") == {"<tie", "tie>"}
    assert char_ngrams("T恤") == {"<t>", "恤"}
    assert char_ngrams("🎉 ,") == set()


def test_a_word_that_images_cannot_show_counts_less_than_one_they_can() -> None:
    examples = three_kinds()
    table = examples.ngrams
    assert table.weights[table.places["atch"]] > 0.3
    assert table.weights[table.places["<for"]] == pytest.approx(0, abs=1e-6)
    shared = table.shared("watches for children")
    assert shared[:30].min() > 0.9
    assert shared[30:].max() < 0.1
    assert not table.shared("zzzz").any()


def test_a_topic_finds_the_images_of_its_titles() -> None:
    examples = three_kinds()
    aim = unit(examples.vectors[0, 30:60].mean(axis=0))
    fit = examples.fit([TopicText("鞋子", aim, aim)])
    assert 0.5 < fit.max() <= 1
    assert fit[30:60].min() > np.delete(fit, np.s_[30:60]).max()
    others = unit(examples.images + 0.1 * RNG(5).normal(size=examples.images.shape))
    transfer = examples.transfer(examples.likeness(others, pooled_of(others)), fit)
    assert transfer[30:60].min() > np.delete(transfer, np.s_[30:60]).max()
    assert (transfer <= 0).all()
    prototypes = examples.prototypes(fit, 3)
    assert (prototypes @ aim).min() > 0.5


def test_titles_of_either_of_two_things_fit_both() -> None:
    examples = three_kinds()
    watch, shoes = (unit(examples.vectors[0, start : start + 30].mean(axis=0)) for start in (0, 30))
    nothing = np.zeros_like(watch)  # the whole text is like no title
    things = (TopicText("watch", watch, watch), TopicText("shoes", shoes, shoes))
    fit = examples.fit([TopicText("?", nothing, nothing, things)])
    assert fit[:60].min() > fit[60:].max()
    assert fit[:30].mean() == pytest.approx(fit[30:60].mean(), abs=0.15)
    assert examples.fit([TopicText("watch", watch, watch, things[:1])])[30:].max() < 0.5


def test_words_of_the_best_titles_find_more_in_the_other_language() -> None:
    examples = three_kinds()
    found = examples.ngrams.typical(np.arange(3), np.ones(3, dtype=np.float32))
    assert found[:30].min() > found[30:].max()
    only_chinese = NgramTable.of([*examples.texts, "手表", "围巾"], np.zeros((92, 1), dtype=np.int32))
    assert only_chinese.holders.shape[0] == 92
    table = replace(only_chinese, weights=np.ones_like(only_chinese.weights))
    scarce = table.typical(np.arange(3), np.ones(3, dtype=np.float32))
    assert scarce[90] > scarce[91]


def test_an_image_s_score_does_not_depend_on_other_images() -> None:
    examples = three_kinds()
    aim = unit(examples.vectors[0, :30].mean(axis=0))
    fit = examples.fit([TopicText("watch", aim, aim)])

    def transferred(images: np.ndarray) -> np.ndarray:
        return examples.transfer(examples.likeness(images, pooled_of(images)), fit)

    alone = np.concatenate([transferred(one[None]) for one in examples.images])
    np.testing.assert_allclose(alone, transferred(examples.images), rtol=1e-5, atol=1e-5)


def test_the_regression_foretells_what_images_show_and_the_mean_of_what_they_do_not() -> None:
    examples = three_kinds()
    watches = (np.arange(90) < 30).astype(np.float32)
    others = examples.space.project(pooled_of(examples.images + 0.1 * RNG(5).normal(size=examples.images.shape)))
    foretold = examples.regression.predict(others, watches)
    assert foretold[:30].min() > foretold[30:].max()
    peer = KernelRidge(alpha=1.0, kernel="rbf", gamma=2.0)  # every example is a landmark
    wanted = peer.fit(examples.visual_features, watches - watches.mean()).predict(others) + watches.mean()
    np.testing.assert_allclose(foretold, wanted, atol=1e-3)
    np.testing.assert_allclose(examples.regression.predict(others, np.full(90, 0.3, np.float32)), 0.3, atol=1e-6)


def test_some_landmarks_regress_nearly_as_all_do(monkeypatch: pytest.MonkeyPatch) -> None:
    visual_features = unit(RNG(1).normal(size=(400, 3)))
    values = (visual_features[:, 0] > 0).astype(np.float32)
    others = unit(RNG(2).normal(size=(100, 3)))
    whole = KernelRegression.of(visual_features).predict(others, values)
    monkeypatch.setattr("interbert.search.topics.visual_features._LANDMARKS", 80)
    some = KernelRegression.of(visual_features)
    assert some.landmarks.shape == (80, 3)
    assert np.abs(some.predict(others, values) - whole).mean() < 0.02
    assert ((some.predict(others, values) > 0.5) == (others[:, 0] > 0)).mean() > 0.9


def test_images_that_all_look_the_same_are_no_error() -> None:
    same = np.ones((50, 8), dtype=np.float32)
    space = VisualFeatureSpace.of(same)
    visual_features = space.project(same)
    assert np.isfinite(visual_features).all()
    foretold = KernelRegression.of(visual_features).predict(visual_features, (np.arange(50) % 2).astype(np.float32))
    np.testing.assert_allclose(foretold, 0.5, atol=1e-3)


def test_a_look_is_the_mean_of_the_tokens_and_the_global_one_whatever_their_number() -> None:
    tokens = [RNG(0).normal(size=(count, 4)).astype(np.float32) for count in (3, 1)]
    found = pooled_visual_features(tokens)
    np.testing.assert_allclose(found[0], [*tokens[0].mean(axis=0), *tokens[0][0]], rtol=1e-6)
    np.testing.assert_allclose(found[1], [*tokens[1][0], *tokens[1][0]], rtol=1e-6)


def test_components_are_spread_evenly_by_half() -> None:
    pooled = (RNG(3).normal(size=(4000, 3)) * np.array([9.0, 4.0, 1.0]) + 5).astype(np.float32)
    space = VisualFeatureSpace.of(pooled)
    deviations = np.sort(((pooled - space.mean) @ space.basis).std(axis=0))
    np.testing.assert_allclose(deviations, [1.0, 2.0, 3.0], rtol=0.05)
    np.testing.assert_allclose(np.linalg.norm(space.project(pooled), axis=1), 1.0, rtol=1e-5)


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
    facets = Facets(tuple(texts), vectors, vectors, members)
    wanted = unit(vectors[texts.index("shirt")] + 0.02 * RNG(3).normal(size=64))
    fit = facets.fit("shirts", wanted, wanted)
    assert fit is not None
    shirts = np.array([row[1] == "shirt" for row in ROWS * 5])
    assert fit[shirts].min() > fit[~shirts].max()
    assert np.ptp(fit[shirts]) < 0.1 * (fit[shirts].min() - fit[~shirts].max())
    assert facets.fit("衬衫", wanted, wanted) is None
    assert Facets.none(20, 64, 64).fit("shirts", wanted, wanted) is None
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
    transfer, joint = draws.normal(size=(2, 50_000))
    relevant = draws.random(50_000) < probabilities(2 * transfer + 0.5 * joint - 1)
    found = fit_calibration(transfer, joint, relevant, 10)
    assert found.transfer == pytest.approx(2, abs=0.1)
    assert found.joint == pytest.approx(0.5, abs=0.1)
    assert found.said > 0.95
    likely = found.probability(found.logit(transfer, joint))
    for low in (0.1, 0.4, 0.7):
        near = (likely >= low) & (likely < low + 0.2)
        assert relevant[near].mean() == pytest.approx(likely[near].mean(), abs=0.05)
    assert relevant[likely >= 0.5].mean() == pytest.approx(found.relevant, abs=0.03)


def test_what_titles_leave_out_is_allowed_for() -> None:
    draws = RNG(0)
    transfer = draws.uniform(-6, 0, size=50_000)
    relevant = draws.random(50_000) < probabilities(4 * transfer + 6)
    said = relevant & (draws.random(50_000) < 0.6)
    found = fit_calibration(transfer, np.zeros(50_000), said, 10)
    assert found.said == pytest.approx(0.6, abs=0.05)
    sure = found.probability(found.logit(transfer, np.zeros(50_000))) >= 0.5
    assert found.relevant == pytest.approx(relevant[sure].mean(), abs=0.08)


def test_a_score_that_would_count_against_relevance_is_left_out() -> None:
    draws = RNG(0)
    transfer, joint = draws.normal(size=500), draws.normal(size=500)
    found = fit_calibration(transfer, joint, transfer - joint > 0, 3)
    assert found.joint == 0
    assert found.transfer > 0


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


def test_the_table_of_spelling_stands_texts_without_words() -> None:
    table = NgramTable.of(["", "🎉"], np.array([[1], [0]], dtype=np.int32))
    assert table.shared("anything").tolist() == [0, 0]


def test_words_that_no_title_has_are_said_with_the_nearest_that_titles_have() -> None:
    titles = ["men black watch", "women jewellery", "kids running shoes", "men tröja 毛衣"]
    words = KnownWords.of(titles * 5)
    assert "black" in words.words
    assert "tröja" not in words.words
    assert words.rewritten(["Watches for men"]) == []
    assert words.rewritten(["children's jewelry", "毛衣 for him"]) == ["kids's jewellery"]
    assert words.rewritten(["black sneakers, black jewelry"]) == ["black shoes, black jewellery"]
    assert words.rewritten(["zzyzx"]) == []
    assert KnownWords.of(titles).words == ()
    assert KnownWords.none().rewritten(["timepieces"]) == []


def test_chinese_words_that_no_title_has_are_said_with_the_nearest_by_what_they_mean() -> None:
    titles = ["女士太阳镜", "男士手表", "皮带", "女士文胸"]
    words = KnownWords.of(titles * 5)
    assert {"太阳镜", "手表", "皮带", "女士"} <= set(words.words)
    assert words.rewritten(["女士墨镜"]) == ["女士太阳镜"]
    assert words.rewritten(["女士太阳镜", "腕表 for men", "胸罩和腰带"]) == ["手表 for men", "文胸和皮带"]
    assert words.rewritten(["太陽鏡"]) == ["太阳镜"]  # traditional characters
    assert words.rewritten(["沙发"]) == []
    assert words.rewritten(["囧囧"]) == []


def test_a_chinese_word_is_said_with_several_in_both_languages() -> None:
    words = KnownWords.of(["长裤 trousers", "牛仔裤 jeans", "太阳镜 sunglasses"] * 5 + ["短裤 shorts"] * 4)
    assert words.rewritten(["男士裤子"]) == ["男士长裤", "男士 trousers"]
    words = KnownWords.of(["长裤 trousers", "牛仔裤 jeans", "太阳镜 sunglasses", "裤装"] * 5 + ["短裤 shorts"] * 4)
    assert words.rewritten(["裤子, 墨镜"]) == ["裤装, 太阳镜", "长裤, sunglasses", "trousers , sunglasses"]


def test_words_are_said_in_the_other_language_where_their_own_has_none() -> None:
    english = KnownWords.of(["men watch", "sunglasses for women"] * 5)
    assert english.rewritten(["女士墨镜"]) == ["女士 sunglasses"]
    chinese = KnownWords.of(["女士太阳镜", "男士手表"] * 5)
    assert chinese.rewritten(["sunglasses, wristwatches"]) == ["太阳镜 , 手表"]


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
