"""What models predict of held-out pairs is what they say, of what training would have hidden."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from interbert.checkpoints.directory import load_model, load_pretraining_model, load_processor
from interbert.data.masking import hide_regions
from interbert.extraction.weights import class_names
from interbert.model.modeling import InterBertForPreTraining
from interbert.model.processing import InterBertProcessor
from interbert.regions.schema import ExtractorInfo
from interbert.report.predictions import PairPredictions, predict_pairs, share_correct
from interbert.report.runs import HeldOut, held_out_pairs, read_run
from interbert.report.samples import rank_texts
from interbert.tasks.retrieval import RetrievalSet, RetrievalTask


@pytest.fixture(scope="module")
def processor(pretrained: Path) -> InterBertProcessor:
    return load_processor(pretrained)


@pytest.fixture(scope="module")
def held_out(pretrained: Path, processor: InterBertProcessor) -> HeldOut:
    return held_out_pairs(read_run(pretrained), ExtractorInfo.from_dict(processor.extractor_info))


@pytest.fixture(scope="module")
def model(pretrained: Path) -> InterBertForPreTraining:
    return load_pretraining_model(pretrained)


@pytest.fixture(scope="module")
def predictions(
    pretrained: Path, processor: InterBertProcessor, held_out: HeldOut, model: InterBertForPreTraining
) -> list[PairPredictions]:
    names = class_names(ExtractorInfo.from_dict(processor.extractor_info))
    return predict_pairs(model, processor, held_out, read_run(pretrained).recipe, 5, names)


def test_every_pair_hides_a_piece_and_a_region_and_is_another_image(predictions: list[PairPredictions]) -> None:
    assert len(predictions) == 5
    assert len({pair.row for pair in predictions}) == 5
    assert all(pair.hidden and pair.regions for pair in predictions)
    assert {len(token.predictions) for pair in predictions for token in pair.hidden} == {3}
    for pair in predictions:
        for token in pair.hidden:
            shares = [one.probability for one in token.predictions]
            assert shares == sorted(shares, reverse=True)
            assert 0 < sum(shares) <= 1


def test_the_truth_is_the_caption_and_what_the_model_saw_hides_it(
    predictions: list[PairPredictions], processor: InterBertProcessor, held_out: HeldOut
) -> None:
    masks = 0
    for pair in predictions:
        own = processor.tokenizer.convert_ids_to_tokens(processor.texts_to_ids([pair.text])[0][1:-1])
        truth = {token.place: token.truth for token in pair.hidden}
        assert [truth.get(place, token) for place, token in enumerate(pair.tokens)] == own
        masks += sum(pair.tokens[place] == "[MASK]" for place in truth)
        assert pair.text in held_out.captions[pair.row].texts
    assert masks > 0


def test_a_region_s_truth_is_the_top_class_of_the_store(predictions: list[PairPredictions], held_out: HeldOut) -> None:
    names = class_names(held_out.store.info)
    assert names is not None
    for pair in predictions:
        regions = held_out.store.take([pair.row])[0]
        boxes = {tuple(box): place for place, box in enumerate(regions.boxes.tolist())}
        for region in pair.regions:
            assert region.truth is not None
            assert regions.class_probs is not None
            probabilities = regions.class_probs[boxes[region.box]]
            assert region.truth.label == names[int(probabilities.argmax())]
            assert region.truth.probability == pytest.approx(float(probabilities.max()))


def test_the_model_s_own_logits_are_what_is_shown(
    predictions: list[PairPredictions], processor: InterBertProcessor, held_out: HeldOut, model: InterBertForPreTraining
) -> None:
    pair = predictions[0]
    regions = held_out.store.take([pair.row])[0]
    hidden = np.isin(regions.boxes, [region.box for region in pair.regions]).all(axis=1)
    features, locations = hide_regions(processor.image_inputs(regions), hidden)
    ids = processor.tokenizer.convert_tokens_to_ids(["[CLS]", *pair.tokens, "[SEP]"])
    model.eval()
    with torch.no_grad():
        logits = model(
            torch.tensor([ids]),
            region_features=torch.from_numpy(features)[None],
            region_locations=torch.from_numpy(locations)[None],
        ).lm_logits[0]
    token = pair.hidden[0]
    best = logits[token.place + 1].softmax(dim=-1).max()
    assert token.predictions[0].probability == pytest.approx(float(best), rel=0.05)  # bf16 where the CPU has it


def test_the_same_pairs_are_hidden_in_the_same_way_again(
    predictions: list[PairPredictions],
    pretrained: Path,
    processor: InterBertProcessor,
    held_out: HeldOut,
    model: InterBertForPreTraining,
) -> None:
    again = predict_pairs(model, processor, held_out, read_run(pretrained).recipe, 5, None)
    assert [pair.tokens for pair in again] == [pair.tokens for pair in predictions]
    assert [[one.box for one in pair.regions] for pair in again] == [
        [one.box for one in pair.regions] for pair in predictions
    ]
    assert all(one.truth is not None and one.truth.label.startswith("class ") for one in again[0].regions)


def test_a_model_that_regresses_features_has_its_error_beside_that_of_the_average(
    pretrained: Path, processor: InterBertProcessor, held_out: HeldOut, model: InterBertForPreTraining
) -> None:
    config = type(model.config)(**(model.config.to_dict() | {"region_objective": "regress"}))
    pairs = predict_pairs(InterBertForPreTraining(config), processor, held_out, read_run(pretrained).recipe, 2, None)
    regions = held_out.store.take([pairs[0].row])[0]
    features, _ = processor.image_inputs(regions)
    first = pairs[0].regions[0]
    place = next(place for place, box in enumerate(regions.boxes.tolist()) if tuple(box) == first.box)
    assert first.truth is None
    assert first.error is not None
    assert first.error > 0
    assert first.chance == pytest.approx(float(np.square(features[place + 1]).sum()), rel=1e-4)
    assert "hidden regions" not in share_correct(pairs)


def test_the_first_guesses_are_counted(predictions: list[PairPredictions]) -> None:
    counts = share_correct(predictions)
    assert list(counts) == ["hidden tokens", "hidden regions", "matches"]
    assert counts["hidden tokens"][1] == sum(len(pair.hidden) for pair in predictions)
    relevant = sum(token.predictions[0].label == token.truth for pair in predictions for token in pair.hidden)
    assert counts["hidden tokens"][0] == relevant


@pytest.mark.parametrize("contrast", [True, False])
def test_texts_are_ranked_as_validation_ranks_them(
    retrieval: Path, held_out: HeldOut, monkeypatch: pytest.MonkeyPatch, contrast: bool
) -> None:
    model, processor = load_model(retrieval), load_processor(retrieval)
    recipe = {**read_run(retrieval).recipe, "rerank": 3}  # as runs of earlier versions have it
    data = RetrievalSet.from_table(held_out.table, recipe["validation_limit"])
    if not contrast:
        monkeypatch.setattr(model.config, "contrastive_size", None)
        monkeypatch.setattr(model.config, "dual_score_weight", None)
    found = rank_texts(model, processor, held_out, recipe, len(data.texts))
    task = RetrievalTask(data, *data.encode(held_out.store, processor), rerank=recipe["rerank"])
    metrics = task.evaluate(model)
    first = 100 * float(np.mean([query.rank == 1 for query in found.queries]))
    assert first == pytest.approx(metrics["joint_r@1" if contrast else "r@1"])
    assert found.candidates == len(data.image_rows)
    assert found.reranked == (3 if contrast else found.candidates)
    for query in found.queries:
        shares = [share for _, share in query.hits]
        assert shares == sorted(shares, reverse=True)
        place = next((place for place, (name, _) in enumerate(query.hits, start=1) if name in query.relevant), None)
        assert place == query.rank if place is not None else query.rank > len(query.hits)
        assert query.relevant <= found.rows.keys()
