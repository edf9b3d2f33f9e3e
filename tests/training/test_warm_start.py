from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from tests.conftest import AT_LENGTH, tiny_config

from interbert.data.examples import PairData
from interbert.data.pairs import PairTable
from interbert.data.texts import FlatTexts
from interbert.errors import ConfigError, DataError, TrainingError
from interbert.model.modeling import InterBertForPreTraining
from interbert.tasks.retrieval import RetrievalSet, RetrievalTask
from interbert.training import warm_start as warm_start_module
from interbert.training.arguments import CHECKPOINTS
from interbert.training.options import WarmStartOptions
from interbert.training.trainer import InterBertTrainer
from interbert.training.warm_start import WARM_START, WarmStartData, can_warm_start, warm_start

IMAGES = 256
WORDS = 8
SIZES = {"contrastive_size": 16, "hidden_size": 48, "num_interaction_layers": 1, "initializer_range": 0.1}
OPTIONS = WarmStartOptions(head_epochs=40, epochs=25, learning_rate=5e-3, batch_size=32, dropout=0.1)
BRIEF = WarmStartOptions(head_epochs=2, epochs=2, batch_size=32)


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="interbert")


class Shelf:
    """Images whose feature says which word describes them."""

    tokenizer = None

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self.words = generator.integers(0, WORDS, IMAGES)
        self.features = generator.normal(0, 0.3, (IMAGES, 3, 10)).astype(np.float32)
        self.features[:, :, :WORDS] += 3 * np.eye(WORDS, dtype=np.float32)[self.words][:, None]

    def take(self, rows):
        return list(rows)

    def texts_to_ids(self, texts):
        return [[1, 20 + int(self.words[int(text)]), 2] for text in texts]

    def image_inputs(self, regions, where="regions"):
        locations = np.tile(np.array([0, 0, 1, 1, 1], dtype=np.float32), (3, 1))
        return self.features[regions], locations


def learn(out: Path, options: WarmStartOptions = OPTIONS, **sizes) -> tuple[InterBertForPreTraining, Shelf]:
    torch.manual_seed(0)
    model = InterBertForPreTraining(tiny_config(**(SIZES | sizes)))
    out.mkdir(exist_ok=True)
    shelf = Shelf()
    numbers = np.arange(IMAGES)
    texts = FlatTexts(map(str, numbers))
    table = PairTable(texts, numbers, np.full(IMAGES, -1), numbers, shelf.words.astype(np.int64))
    pairs = PairData(table, shelf, shelf, 0, "shelf")
    ids = [[1, 20 + word, 2] for word in range(WORDS)]
    images = [shelf.image_inputs(row) for row in range(IMAGES)]
    task = RetrievalTask(
        RetrievalSet(tuple(map(str, range(WORDS))), tuple(numbers), np.arange(WORDS)[:, None] == shelf.words),
        ids,
        images,
    )
    warm_start(model, WarmStartData(pairs, shelf.features[:, 0], task), options, out, False)
    return model.eval(), shelf


def recall(model: InterBertForPreTraining, shelf: Shelf, by_head: bool) -> float:
    """How often an image is nearest to its word, in dual-encoder mode."""
    ids = torch.tensor([[1, 20 + word, 2] for word in range(WORDS)])
    locations = torch.tensor([0.0, 0, 1, 1, 1]).expand(IMAGES, 3, 5)
    with torch.no_grad():
        if by_head:
            text = model.interbert(ids, pooled_only=True).text_pooled
            image = model.pool_image(torch.from_numpy(shelf.features), locations)
            scores = (text * (model.matching_head.weight[0] - model.matching_head.weight[1])) @ image.T
        else:
            scores = model.encode_text(ids) @ model.encode_image(torch.from_numpy(shelf.features), locations).T
    return float((scores.argmax(dim=0).numpy() == shelf.words).mean())


@pytest.mark.parametrize("by_head", [pytest.param(False, marks=AT_LENGTH), True])
def test_images_find_their_words_afterwards_by_cosine_and_by_matching_head(tmp_path: Path, by_head: bool) -> None:
    model, shelf = learn(tmp_path)
    assert recall(model, shelf, by_head) > 0.8
    untaught = learn(tmp_path / "none", WarmStartOptions(head_epochs=1, epochs=0, learning_rate=1e-9))[0]
    assert recall(untaught, shelf, by_head) < 0.6


def test_the_text_side_stays_as_the_bert_has_it_and_trains_on_afterwards(tmp_path: Path) -> None:
    torch.manual_seed(0)
    before = InterBertForPreTraining(tiny_config(**SIZES)).state_dict()
    model, _ = learn(tmp_path, BRIEF)
    kept = ("interbert.text_embeddings.", "interbert.encoder.text_layers.", "interbert.encoder.interaction_layers.")
    names = [name for name in before if name.startswith(kept)]
    assert names
    assert all(model.state_dict()[name].equal(before[name]) for name in names)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not model.interbert.image_pooler.dense.weight.equal(before["interbert.image_pooler.dense.weight"])


def test_a_continued_run_takes_what_was_learnt(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, _ = learn(tmp_path, BRIEF)
    caplog.clear()
    second, _ = learn(tmp_path, BRIEF)
    assert caplog.text == ""  # no stage ran
    for name, value in first.state_dict().items():
        assert value.equal(second.state_dict()[name]), name
    (tmp_path / CHECKPOINTS / WARM_START).unlink()
    third, _ = learn(tmp_path, BRIEF)
    for name, value in first.state_dict().items():
        assert value.equal(third.state_dict()[name]), name


def test_a_run_killed_between_the_stages_goes_on_with_the_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole, _ = learn(tmp_path / "whole", BRIEF)
    train = warm_start_module._train

    def killed(model, data, options, number, *others):
        if number == 1:
            raise KeyboardInterrupt
        train(model, data, options, number, *others)

    with monkeypatch.context() as patch:
        patch.setattr(warm_start_module, "_train", killed)
        with pytest.raises(KeyboardInterrupt):
            learn(tmp_path / "killed", BRIEF)
    caplog.clear()
    continued, _ = learn(tmp_path / "killed", BRIEF)
    assert "heads" not in caplog.text
    for name, value in whole.state_dict().items():
        assert value.equal(continued.state_dict()[name]), name


@pytest.mark.parametrize("stopped", [pytest.param(0, marks=AT_LENGTH), 1])
def test_a_run_killed_within_a_stage_goes_on_from_its_checkpoint_bit_by_bit(
    stopped: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole, _ = learn(tmp_path / "whole", BRIEF, contrastive_lexical=True)
    step, steps = InterBertTrainer.training_step, []

    def killed(self, *given):
        if f"warm_start_{stopped}" in str(self.args.output_dir):
            steps.append(self.state.global_step)
            if self.state.global_step == 11:
                raise RuntimeError("killed")
        return step(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(InterBertTrainer, "training_step", killed)
        with pytest.raises(RuntimeError, match="killed"):
            learn(tmp_path / "killed", BRIEF, contrastive_lexical=True)
    caplog.clear()
    steps.clear()
    monkeypatch.setattr(InterBertTrainer, "training_step", killed)
    with pytest.raises(RuntimeError, match="killed"):
        learn(tmp_path / "killed", BRIEF, contrastive_lexical=True)
    assert steps[0] > 8  # the first pass is not repeated
    monkeypatch.undo()
    continued, _ = learn(tmp_path / "killed", BRIEF, contrastive_lexical=True)
    assert "continuing from" in caplog.text
    for name, value in whole.state_dict().items():
        assert value.equal(continued.state_dict()[name]), name
    assert [child.name for child in (tmp_path / "killed" / CHECKPOINTS).iterdir()] == [WARM_START]


def test_a_run_killed_while_it_calibrates_repeats_only_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole, _ = learn(tmp_path / "whole", BRIEF)

    def killed(self, model, seed=0):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RetrievalTask, "calibrate", killed)
        with pytest.raises(KeyboardInterrupt):
            learn(tmp_path / "killed", BRIEF)
    caplog.clear()
    continued, _ = learn(tmp_path / "killed", BRIEF)
    assert caplog.text == ""  # no stage ran
    for name, value in whole.state_dict().items():
        assert value.equal(continued.state_dict()[name]), name


def test_a_loss_that_is_not_finite_names_the_option_and_keeps_nothing(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"Lower warm_start.learning_rate"):
        learn(tmp_path, WarmStartOptions(head_epochs=20, learning_rate=1e30, epochs=1, batch_size=32))
    assert not (tmp_path / CHECKPOINTS / WARM_START).exists()


def test_matching_starts_below_its_chance_value(tmp_path: Path) -> None:
    model, shelf = learn(tmp_path)
    words = torch.arange(IMAGES) % WORDS
    relevant = torch.from_numpy(shelf.words) == words
    locations = torch.tensor([0.0, 0, 1, 1, 1]).expand(IMAGES, 3, 5)
    ids = torch.stack([torch.tensor([1, 20 + int(word), 2]) for word in words])
    with torch.no_grad():
        logits = model(
            ids, region_features=torch.from_numpy(shelf.features), region_locations=locations
        ).matching_logits
    losses = torch.nn.functional.cross_entropy(logits, (~relevant).long(), reduction="none")
    assert float(losses[relevant].mean() + losses[~relevant].mean()) / 2 < 0.65  # chance: 0.693


def test_a_summing_model_keeps_its_matching_head_and_is_only_centred(tmp_path: Path) -> None:
    torch.manual_seed(0)
    before = InterBertForPreTraining(tiny_config(**SIZES, fusion="sum")).matching_head.weight
    model, _ = learn(tmp_path, BRIEF, fusion="sum")
    after = model.matching_head.weight
    stretch = after[0] / before[0]
    assert torch.allclose(stretch, stretch[0].expand_as(stretch), rtol=1e-3)


def test_without_a_contrastive_head_the_matching_head_alone_is_taught(tmp_path: Path) -> None:
    model, shelf = learn(tmp_path, contrastive_size=None)
    assert recall(model, shelf, by_head=True) > 0.8


def test_when_there_is_nothing_to_contrast_with_or_nothing_wanted_it_is_left_out() -> None:
    plain = InterBertForPreTraining(tiny_config(fusion="sum"))
    assert not can_warm_start(plain, OPTIONS)
    product = InterBertForPreTraining(tiny_config())
    assert can_warm_start(product, OPTIONS)
    assert not can_warm_start(product, WarmStartOptions(head_epochs=0, epochs=0))


def test_a_damaged_file_of_finished_stages_is_named_with_a_remedy(tmp_path: Path) -> None:
    kept = tmp_path / CHECKPOINTS / WARM_START
    kept.parent.mkdir()
    for content in (b"", b"damaged", safetensors.torch.save({"a": torch.zeros(1)})):  # the last has no metadata
        kept.write_bytes(content)
        with pytest.raises(DataError, match=r"warm_start.safetensors: .*Remove it, and the warm start begins anew"):
            learn(tmp_path, BRIEF)


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 2"):
        WarmStartOptions(batch_size=1)
    with pytest.raises(ConfigError, match="negative"):
        WarmStartOptions(epochs=-1)
    with pytest.raises(ConfigError, match=r"warm_start.dropout must be at least 0 and below 1, not 1.5"):
        WarmStartOptions(dropout=1.5)
    with pytest.raises(ConfigError, match="above 0"):
        WarmStartOptions(learning_rate=0)


def test_the_table_of_words_learns_in_both_stages(tmp_path: Path) -> None:
    model, shelf = learn(tmp_path, BRIEF, contrastive_lexical=True)
    table = model.contrastive_head.lexical.weight
    shown = {1, 2, *(20 + int(word) for word in shelf.words)}
    assert set(table.abs().sum(dim=1).nonzero().squeeze(1).tolist()) == shown
    again, _ = learn(tmp_path, BRIEF, contrastive_lexical=True)
    assert again.contrastive_head.lexical.weight.equal(table)
