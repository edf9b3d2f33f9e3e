import numpy as np
import pytest
import torch
from tests.conftest import draw, file_bytes

from interbert import InterBertForImageTextRetrieval, InterBertScorer
from interbert.checkpoints.bert import bert_tokenizer
from interbert.errors import CheckpointError, ImageError, UsageError
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.model import scoring
from interbert.model.processing import InterBertProcessor
from interbert.model.region_inputs import InterBertRegionFeatureExtractor

TEXTS = ["red", "a blue square on white paper", "a green thing"]
IMAGES = [draw("red", "circle"), draw("blue", "square"), draw("green", "triangle"), draw("black", "circle")]


@pytest.fixture(scope="module")
def directory(tmp_path_factory, tiny_bert):
    """A random retrieval model with everything beside it."""
    from tests.conftest import tiny_config

    folder = tmp_path_factory.mktemp("retrieval")
    extractor = GridExtractor(GridSettings(input_size=64, scales=(1, 2), features=("colour", "head")))
    tokenizer = bert_tokenizer(tiny_bert)
    torch.manual_seed(0)
    config = tiny_config(
        vocab_size=len(tokenizer),
        region_feature_size=extractor.info.feature_size,
        contrastive_size=8,
        dual_score_weight=2.0,
        max_position_embeddings=40,
    )
    model = InterBertForImageTextRetrieval(config)
    model.save_pretrained(folder)
    scaling = InterBertRegionFeatureExtractor(extractor.info.to_dict())
    InterBertProcessor(scaling, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def scorer(directory):
    return InterBertScorer(directory)


@pytest.fixture(scope="module")
def expected(directory):
    """Match probabilities [texts, images], one plain forward pass each."""
    model = InterBertForImageTextRetrieval.from_pretrained(directory).eval()
    processor = InterBertProcessor.from_pretrained(directory)
    return np.array([[model.score(**processor(text=t, images=p)).item() for p in IMAGES] for t in TEXTS])


CLOSE = {"atol": 1e-4}
ROUNDED = 1e-4  # region features are float16: in a batch one of two hundred is rounded the other way


def test_predict_gives_match_probabilities_in_the_order_given(scorer, expected):
    pairs = [(text, image) for text in TEXTS for image in IMAGES]
    scores = scorer.predict(pairs, batch_size=2)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected.ravel(), **CLOSE)
    assert np.ptp(expected) > 5 * CLOSE["atol"]
    backwards = scorer.predict(pairs[::-1])
    np.testing.assert_allclose(backwards[::-1], scores, **CLOSE)


def test_images_come_as_paths_bytes_pil_and_stored_regions(scorer, expected, tmp_path):
    image = IMAGES[1]
    file = tmp_path / "square.png"
    file.write_bytes(file_bytes(image))
    regions = GridExtractor(GridSettings(input_size=64, scales=(1, 2), features=("colour", "head"))).detect([image])
    given = [image, file, str(file), file.read_bytes(), regions[0]]
    scores = scorer.predict([(TEXTS[0], one) for one in given])
    np.testing.assert_allclose(scores, np.full(5, expected[0, 1]), **CLOSE)


def test_pairs_may_be_dictionaries_and_a_single_pair_gives_a_single_score(scorer, expected):
    pair = {"text": TEXTS[2], "image": IMAGES[0]}
    assert scorer.predict(pair) == pytest.approx(expected[2, 0], abs=CLOSE["atol"])
    assert scorer.predict((TEXTS[2], IMAGES[0])) == scorer.predict(pair)
    assert scorer.predict([pair]).shape == (1,)


def test_return_shapes_are_those_of_a_cross_encoder(scorer):
    pairs = [(TEXTS[0], one) for one in IMAGES]
    assert isinstance(scorer.predict(pairs), np.ndarray)
    tensor = scorer.predict(pairs, convert_to_tensor=True)
    assert tensor.shape == (4,)
    listed = scorer.predict(pairs, convert_to_numpy=False)
    assert isinstance(listed, list)
    assert all(isinstance(one, torch.Tensor) for one in listed)
    assert len(scorer.predict([])) == 0
    logits = scorer.predict(pairs, activation_fn=torch.nn.Identity(), convert_to_tensor=True)
    assert torch.allclose(logits.sigmoid(), tensor, atol=1e-3)


def test_rank_orders_images_for_a_text(scorer, expected):
    results = scorer.rank(TEXTS[1], IMAGES)
    assert [one["corpus_id"] for one in results] == np.argsort(-expected[1]).tolist()
    assert results == sorted(results, key=lambda one: -one["score"])
    assert results[0].keys() == {"corpus_id", "score"}
    top = scorer.rank(TEXTS[1], IMAGES, top_k=2, return_documents=True)
    assert [one["corpus_id"] for one in top] == [one["corpus_id"] for one in results[:2]]
    assert top[0]["image"] is IMAGES[top[0]["corpus_id"]]
    assert scorer.rank(TEXTS[1], []) == []


def test_rank_orders_texts_for_an_image(scorer, expected):
    results = scorer.rank(IMAGES[3], TEXTS, return_documents=True)
    assert [one["corpus_id"] for one in results] == np.argsort(-expected[:, 3]).tolist()
    assert results[0]["text"] == TEXTS[results[0]["corpus_id"]]


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("red",), "pair 1: must be a text and an image"),
        ("red", "pair 1: must be a text and an image"),
        ((IMAGES[0], "red"), "pair 1: must be a text and an image, in this order"),
        ({"text": "red"}, "pair 1"),
    ],
)
def test_what_is_no_pair_is_named(scorer, pair, message):
    with pytest.raises(UsageError, match=message):
        scorer.predict([("red", IMAGES[0]), pair])


def test_what_cannot_be_read_is_named(scorer, tmp_path):
    with pytest.raises(ImageError, match=r"absent\.png: the file is not there"):
        scorer.predict([("red", str(tmp_path / "absent.png"))])
    with pytest.raises(CheckpointError, match="no model here"):
        InterBertScorer(tmp_path)


class TestSentenceTransformers:
    """The same directory as a standard ``sentence_transformers.CrossEncoder``."""

    @pytest.fixture(scope="class")
    def cross_encoder(self, directory):
        sentence_transformers = pytest.importorskip("sentence_transformers", minversion="5.4")
        return sentence_transformers.CrossEncoder(str(directory), device="cpu")

    @pytest.mark.parametrize(
        "form",
        [
            lambda text, image: ({"text": text}, {"image": image}),
            lambda text, image: ({"image": image}, {"text": text}),
            lambda text, image: (text, {"image": image}),
            lambda text, image: (text, image),
            lambda text, image: (image, text),
        ],
    )
    def test_texts_and_images_get_the_same_scores_in_every_form(self, cross_encoder, expected, form):
        pairs = [form(text, image) for text in TEXTS for image in IMAGES]
        np.testing.assert_allclose(cross_encoder.predict(pairs), expected.ravel(), atol=ROUNDED)

    def test_one_input_with_both_is_understood_too(self, cross_encoder, expected):
        """``predict`` takes pairs only; its ``preprocess`` takes a dictionary with both sides."""
        inputs = [{"text": TEXTS[0], "image": image} for image in IMAGES]
        with torch.no_grad():
            logits = cross_encoder(cross_encoder.preprocess(inputs))["scores"]
        np.testing.assert_allclose(logits.sigmoid()[:, 0], expected[0], atol=ROUNDED)

    def test_rank(self, cross_encoder, expected):
        results = cross_encoder.rank(TEXTS[1], IMAGES)
        assert [one["corpus_id"] for one in results] == np.argsort(-expected[1]).tolist()

    def test_its_reranking_evaluator(self, cross_encoder, expected):
        from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator

        samples = [
            {"query": text, "positive": [IMAGES[place]], "negative": IMAGES[:place] + IMAGES[place + 1 :]}
            for place, text in enumerate(TEXTS)
        ]
        evaluator = CrossEncoderRerankingEvaluator(samples, at_k=4, name="shapes", show_progress_bar=False)
        ranks = [(np.argsort(-expected[place]) == place).argmax() + 1 for place in range(len(TEXTS))]
        assert evaluator(cross_encoder)["shapes_mrr@4"] == pytest.approx(np.mean([1 / rank for rank in ranks]))

    def test_saved_by_it_and_loaded_again(self, cross_encoder, expected, tmp_path):
        from sentence_transformers import CrossEncoder

        cross_encoder.save_pretrained(str(tmp_path), create_model_card=False)
        again = CrossEncoder(str(tmp_path), device="cpu")
        pair = {"text": TEXTS[0], "image": IMAGES[0]}
        assert again.predict(pair) == pytest.approx(expected[0, 0], abs=1e-5)
        ours = InterBertScorer(tmp_path)
        assert ours.predict(pair) == pytest.approx(expected[0, 0], abs=CLOSE["atol"])

    def test_a_text_alone_is_refused(self, cross_encoder):
        with pytest.raises(Exception, match="one text and one image"):
            cross_encoder.predict([("red", "blue")])


def test_mtebs_cross_encoder_wrapper_gives_the_same_scores(directory, expected):
    mteb_models = pytest.importorskip("mteb.models.sentence_transformer_wrapper")
    from datasets import Dataset, Features, Image, Value
    from mteb._create_dataloaders import _custom_collate_fn
    from sentence_transformers import CrossEncoder
    from torch.utils.data import DataLoader

    pairs = [(text, image) for text in TEXTS for image in IMAGES]
    texts = Dataset.from_dict({"text": [text for text, _ in pairs]})
    images = Dataset.from_dict(
        {"image": [{"bytes": file_bytes(one), "path": None} for _, one in pairs], "id": list(range(len(pairs)))},
        features=Features({"image": Image(), "id": Value("int64")}),
    )
    wrapper = mteb_models.CrossEncoderWrapper(CrossEncoder(str(directory), device="cpu"))
    # it does not ask the model what it takes: without this it would drop the images
    wrapper.mteb_model_meta = wrapper.mteb_model_meta.model_copy(update={"modalities": ["text", "image"]})
    scores = wrapper.predict(
        DataLoader(texts, batch_size=5, collate_fn=_custom_collate_fn),
        DataLoader(images, batch_size=5, collate_fn=_custom_collate_fn),
        task_metadata=None,
        hf_split="test",
        hf_subset="default",
        show_progress_bar=False,
    )
    np.testing.assert_allclose(scores, expected.ravel(), atol=ROUNDED)


def odds(probabilities):
    return np.log(probabilities) - np.log1p(-probabilities)


def test_a_pair_has_one_score_whoever_computes_it_and_whatever_is_beside_it(scorer, expected, monkeypatch):
    monkeypatch.setattr(scoring, "cpu_has_bf16", lambda: True)  # what this machine has is not asked
    pairs = [(text, image) for text in TEXTS for image in IMAGES]
    plain = expected.ravel().astype(np.float64)
    together = scorer.predict(pairs, activation_fn=torch.nn.Identity())
    alone = [scorer.predict(pair, activation_fn=torch.nn.Identity()) for pair in pairs]
    np.testing.assert_allclose(together, odds(plain), atol=1e-4)
    np.testing.assert_allclose(alone, odds(plain), atol=1e-4)


def test_bf16_is_for_the_caller_to_choose(directory, scorer, expected, monkeypatch):
    pairs = [(text, image) for text in TEXTS for image in IMAGES]
    rough = InterBertScorer(directory, bf16=True).predict(pairs)
    assert 1e-4 < np.abs(rough - expected.ravel()).max() < 3e-2
    monkeypatch.setattr(scoring, "cpu_has_bf16", lambda: False)
    np.testing.assert_array_equal(InterBertScorer(directory, bf16=None).predict(pairs), scorer.predict(pairs))
