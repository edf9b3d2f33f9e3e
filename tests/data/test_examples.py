from dataclasses import fields

import numpy as np
import pytest

from interbert.checkpoints.bert import bert_tokenizer
from interbert.checkpoints.vocabulary import grow_vocabulary
from interbert.data.examples import PairData, PretrainingPairs, RetrievalPairs
from interbert.data.masking import RegionMasking, SegmentMasking
from interbert.data.negatives import Negatives
from interbert.data.pairs import PairTable
from interbert.data.sampling import SampleKey
from interbert.data.texts import FlatTexts
from interbert.model.processing import InterBertProcessor
from interbert.model.region_inputs import InterBertRegionFeatureExtractor
from interbert.regions.schema import Regions
from interbert.regions.store import RegionStore


@pytest.fixture(scope="module")
def captions(shop_store):
    return list(RegionStore.open(shop_store).captions())


@pytest.fixture(scope="module")
def processor(captions, tiny_bert):
    texts = [text for one in captions for text in one.texts]
    tokenizer, _ = grow_vocabulary(bert_tokenizer(tiny_bert), texts, texts, min_count=1)
    return InterBertProcessor(InterBertRegionFeatureExtractor(), tokenizer)


@pytest.fixture
def pair_data(captions, processor, shop_store):
    def build(seed=0):
        return PairData(PairTable.from_captions(captions), RegionStore.open(shop_store), processor, seed, "shop")

    return build


def pretraining(data, hard=0.0, **options):
    negatives = Negatives.mined(data.table, None, pool_size=3)
    return PretrainingPairs(data, negatives, lambda step: hard, SegmentMasking(), RegionMasking(), **options)


def retrieval(data, hard=1.0):
    return RetrievalPairs(data, Negatives.mined(data.table, None, pool_size=3), lambda step: hard)


def keys(data, epoch):
    return [SampleKey(epoch, 0, pair) for pair in range(len(data.table))]


def flat(value):
    if isinstance(value, tuple):
        return [array for one in value for array in flat(one)]
    return [np.asarray(value)]


def equal(first, second):
    return all(
        np.array_equal(a, b)
        for field in fields(first)
        for a, b in zip(flat(getattr(first, field.name)), flat(getattr(second, field.name)), strict=True)
    )


@pytest.mark.parametrize("build", [pretraining, retrieval])
def test_a_sample_key_gives_the_same_example_in_any_object_and_order(build, pair_data):
    data = pair_data()
    ours = build(data)
    wanted = keys(data, 2)
    batch = ours.__getitems__(wanted)
    backwards = build(pair_data()).__getitems__(wanted[::-1])[::-1]
    assert all(equal(a, b) for a, b in zip(batch, backwards, strict=True))
    assert all(equal(ours[key], batch[key.pair]) for key in wanted[::7])


@pytest.mark.parametrize("build", [pretraining, retrieval])
def test_epochs_and_seeds_change_the_draws(build, pair_data):
    data = pair_data()
    base = build(data).__getitems__(keys(data, 0))
    later = build(data).__getitems__(keys(data, 1))
    seeded = build(pair_data(seed=1)).__getitems__(keys(data, 0))
    for others in (later, seeded):
        assert sum(equal(a, b) for a, b in zip(base, others, strict=True)) < len(base) / 4


def original(example):
    return np.where(example.lm_labels != -100, example.lm_labels, example.input_ids)


@pytest.mark.parametrize("hard", [0.0, 1.0])
def test_half_the_captions_are_another_images(hard, pair_data, captions):
    data = pair_data()
    pairs = pretraining(data, hard)
    products = [row for row, one in enumerate(captions) for _ in one.texts]
    named = {tuple(ids): product for ids, product in zip(data.ids, products, strict=True)}
    assert len(named) == 48
    labels = []
    for epoch in range(16):
        for example in pairs.__getitems__(keys(data, epoch)):
            relevant = named[tuple(original(example))] == products[example.key.pair]
            assert relevant == (example.matching_label == 0)
            if relevant:
                assert (original(example) == data.ids[example.key.pair]).all()
            labels.append(example.matching_label)
    assert np.mean(labels) == pytest.approx(0.5, abs=0.06)


def test_mismatch_probability_is_a_parameter(pair_data):
    data = pair_data()
    for probability in (0.0, 1.0):
        examples = pretraining(data, mismatch_probability=probability).__getitems__(keys(data, 0))
        assert {one.matching_label for one in examples} == {int(probability)}


def test_special_tokens_are_never_predicted(pair_data, processor):
    data = pair_data()
    special = processor.tokenizer.all_special_ids
    for example in pretraining(data).__getitems__(keys(data, 0)):
        assert example.lm_labels[0] == example.lm_labels[-1] == -100
        changed = example.input_ids[example.input_ids != original(example)]
        assert not (set(changed.tolist()) - {processor.tokenizer.mask_token_id}) & set(special)


def test_hidden_regions_are_zero_in_the_input_and_whole_in_the_contrast(pair_data):
    data = pair_data()
    seen = 0
    for epoch in range(3):
        for example in pretraining(data).__getitems__(keys(data, epoch)):
            (features, locations), (whole, same_locations) = example.image, example.own_image
            hidden = example.masked_regions
            assert not hidden[0]
            assert (features[hidden] == 0).all()
            assert (features[1:][~hidden[1:]] == whole[1:][~hidden[1:]]).all()
            np.testing.assert_allclose(features[0], features[1:].mean(axis=0), atol=1e-4)
            assert (locations == same_locations).all()
            assert (whole[1:] != 0).any(axis=1).all()
            assert (example.own_ids == data.ids[example.key.pair]).all()
            seen += hidden.sum()
    assert seen > 20


def test_region_targets_are_the_detectors_or_the_whole_features(pair_data, shop_store):
    data = pair_data()
    row = int(data.table.rows[5])
    (regions,) = RegionStore.open(shop_store).take([row])
    key = SampleKey(0, 0, 5)
    regressed = pretraining(data, objective="regress")[key]
    assert (regressed.region_targets == regressed.own_image[0]).all()
    classified = pretraining(data)[key]
    assert classified.region_targets.shape == (6, regions.class_probs.shape[1])
    assert (classified.region_targets[1:] == regions.class_probs).all()


def test_retrieval_gives_one_right_pair_and_three_wrong_ones(pair_data, captions):
    data = pair_data()
    products = [row for row, one in enumerate(captions) for _ in one.texts]
    product_of_text = {tuple(ids): product for ids, product in zip(data.ids, products, strict=True)}
    product_of_image = {
        data.image(regions, row)[0].tobytes(): row for row, regions in data.regions(range(len(captions))).items()
    }
    assert len(product_of_image) == 24
    for epoch in range(3):
        for example in retrieval(data).__getitems__(keys(data, epoch)):
            own = products[example.key.pair]
            texts = [product_of_text[tuple(ids)] for ids in example.texts]
            images = [product_of_image[features.tobytes()] for features, _ in example.images]
            assert [a == b for a, b in zip(texts, images, strict=True)] == [True, False, False, False]
            assert example.labels == (0, 1, 1, 1)
            assert (example.texts[0] == data.ids[example.key.pair]).all()
            assert texts[0] == texts[2] == images[0] == images[1] == images[3] == own


def test_the_last_wrong_caption_of_retrieval_is_a_hard_one(pair_data):
    data = pair_data()
    pool = {tuple(ids): pair for pair, ids in enumerate(data.ids)}
    negatives = Negatives(data.table, [(np.arange(48)[:, None] + 2) % 48], [(np.arange(48)[:, None] + 4) % 48])
    for example in RetrievalPairs(data, negatives, lambda step: 1.0).__getitems__(keys(data, 0)):
        assert pool[tuple(example.texts[3])] == (example.key.pair + 2) % 48


def test_the_curriculum_is_asked_for_the_keys_step(pair_data):
    data = pair_data()
    asked = []
    pairs = RetrievalPairs(data, Negatives(data.table), lambda step: asked.append(step) or 0.0)
    pairs.__getitems__([SampleKey(0, 7, 1), SampleKey(0, 7, 2)])
    assert asked == [7, 7]


def test_mirrored_images_come_half_the_time(processor):
    def regions(value):
        return Regions(np.array([[0, 0, 4, 4]], dtype=np.float32), np.full((1, 3), value), None, 8, 8)

    class Store:
        def take(self, rows):
            return [regions(float(row + 1)) for row in rows]

    texts = FlatTexts(("red", "blue"))
    table = PairTable(texts, np.array([0, 1]), np.array([2, -1]), np.array([0, 1]), np.array([0, 1]))
    data = PairData(table, Store(), processor, 0, "memory")
    pairs = pretraining(data, mismatch_probability=0.0)
    firsts = [[int(pairs[SampleKey(epoch, 0, pair)].own_image[0][1, 0]) for epoch in range(300)] for pair in (0, 1)]
    assert set(firsts[1]) == {2}
    assert np.mean(np.array(firsts[0]) == 3) == pytest.approx(0.5, abs=0.1)
    assert set(firsts[0]) == {1, 3}
