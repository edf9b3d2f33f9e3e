"""Pretraining and fine-tuning through the command line, at tiny size."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.conftest import AT_LENGTH
from tests.forked import COMMAND, Fork

from interbert.checkpoints.directory import load_model, load_processor
from interbert.checkpoints.vocabulary import unknown_share
from interbert.cli.main import main
from interbert.regions.schema import ExtractorInfo
from interbert.regions.store import RegionStore
from interbert.training.ema import WeightAverage

SMALL = ["--training.batch-size", "8", "--training.log-steps", "1", "--validation-share", "0.2"]


def pretrain_words(store: Path, bert: str, out: Path, *more: str) -> list[str]:
    words = ["pretrain", str(store), str(out), "--init-from", bert, "--model.pooler-size", "16"]
    return [*words, "--model.contrastive-size", "16", *SMALL, *more]


def finetune_words(model: Path, store: Path, out: Path, *more: str) -> list[str]:
    return ["finetune", "retrieval", str(model), str(store), str(out), *SMALL, *more]


@pytest.fixture(scope="module")
def pretrained(shop_store: Path, tiny_bert: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "pretrained"
    assert main(pretrain_words(shop_store, tiny_bert, out, "--training.epochs", "2")) == 0
    return out


def log_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log_history.jsonl").read_text().splitlines()]


def run_in_process(words: list[str]) -> Fork:
    return Fork(COMMAND, *words)


def wait_for(path_exists, process: Fork, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not path_exists():
        assert process.poll() is None, process.communicate()[1][-800:]
        assert time.monotonic() < end
        time.sleep(0.05)


def test_pretraining_logs_every_objective_beside_its_chance(pretrained: Path) -> None:
    losses = [one for one in log_of(pretrained) if "loss" in one]
    for name in ("lm_loss", "region_loss", "matching_loss", "contrastive_loss"):
        with_targets = [one for one in losses if name in one]
        assert len(with_targets) > len(losses) // 3
        assert all(f"{name}_chance" in one for one in with_targets)
        assert len({one[f"{name}_chance"] for one in with_targets}) == 1
    validations = [one for one in log_of(pretrained) if "eval_dual_r@1" in one]
    assert len(validations) == len({one["step"] for one in validations}) == 2


def test_every_log_line_has_its_time_and_training_lines_their_rate(pretrained: Path) -> None:
    log = log_of(pretrained)
    seconds = [one["seconds"] for one in log]
    assert seconds == sorted(seconds)
    assert all(one["pairs_per_second"] > 0 for one in log if "loss" in one)
    assert not any("pairs_per_second" in one for one in log if "eval_dual_r@1" in one)


def test_a_few_images_are_learnt(shop_store: Path, tiny_bert: str, tmp_path: Path) -> None:
    words = [
        "--training.epochs",
        "16",
        "--training.learning-rate",
        "3e-3",
        "--model.dropout",
        "0",
        "--text-columns",
        "title",
    ]
    assert main(pretrain_words(shop_store, tiny_bert, tmp_path / "m", *words)) == 0
    contrast = [one["contrastive_loss"] for one in log_of(tmp_path / "m") if "contrastive_loss" in one]
    assert sum(contrast[-9:]) < 0.85 * sum(contrast[:9])  # three epochs each, of two large batches and a small one


def test_a_model_directory_is_complete_and_knows_where_it_comes_from(pretrained: Path) -> None:
    origin = json.loads((pretrained / "provenance.json").read_text())
    assert origin["recipe"]["training"]["batch_size"] == 8
    assert origin["versions"]["torch"]
    assert origin["data"]["regions"]
    assert load_processor(pretrained).extractor_info["settings"]["scales"] == [1, 2]
    assert load_model(pretrained).config.contrastive_size == 16
    assert list((pretrained / "checkpoints").rglob("events.out.tfevents.*"))


def test_the_vocabulary_grew_until_both_languages_are_known(pretrained: Path, shop_store: Path) -> None:
    processor = load_processor(pretrained)
    captions = list(RegionStore.open(shop_store).captions())
    for column in (0, 1):
        assert unknown_share(processor.tokenizer, [one.texts[column] for one in captions]) < 0.01


def test_the_same_command_again_does_nothing_and_other_settings_are_refused(
    pretrained: Path, shop_store: Path, tiny_bert: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (pretrained / "model.safetensors").stat().st_mtime_ns
    assert main(pretrain_words(shop_store, tiny_bert, pretrained, "--training.epochs", "2")) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main(pretrain_words(shop_store, tiny_bert, pretrained, "--training.epochs", "3")) == 2
    assert "training.epochs was 2.0, now 3.0" in capsys.readouterr().err
    recipe = json.loads((pretrained / "recipe.json").read_text())
    recipe["model"]["region_loss_weight"] = 1.0  # an option that earlier versions had, at the value that holds now
    del recipe["mismatched_share"], recipe["masking"]["token_share"]  # options that they did not have
    (pretrained / "recipe.json").write_text(json.dumps(recipe))
    assert main(pretrain_words(shop_store, tiny_bert, pretrained, "--training.epochs", "2")) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert (pretrained / "model.safetensors").stat().st_mtime_ns == before


def test_finetuning_evaluating_and_searching_follow(
    pretrained: Path, shop_store: Path, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "retrieval"
    words = ["--training.epochs", "1", "--text-columns", "title"]
    assert main(finetune_words(pretrained, shop_store, model, *words)) == 0
    losses = [one for one in log_of(model) if "matching_loss" in one]
    assert losses[0]["matching_loss_chance"] == pytest.approx(0.5623, abs=1e-3)
    assert (model / "provenance.json").exists()
    bank = load_model(model).contrastive_head.query_bank
    assert load_model(model).likeness is not None
    assert 15 < len(bank) < 24  # the titles that it was trained on, not those that were held out
    deep = bank[:, : -(load_model(model).config.contrastive_skip_size)]
    torch.testing.assert_close(deep.norm(dim=1), torch.full((len(bank),), 0.5**0.5), rtol=0, atol=1e-2)
    assert float(bank.norm(dim=1).max()) <= 1.01
    metrics = tmp_path / "metrics.json"
    evaluate = ["evaluate", "retrieval", str(model), str(shop_store), "--out", str(metrics), "--text-columns", "title"]
    assert main(evaluate) == 0
    report = json.loads(metrics.read_text())
    assert report["zero_shot"] is False
    assert report["text_to_image"]["n"] == report["image_to_text"]["n"] == 24
    assert report["pairs"] == 576
    assert main([*evaluate, "--zero-shot"]) == 2
    assert "fine-tuned" in capsys.readouterr().err
    assert main(["evaluate", "retrieval", str(pretrained), str(shop_store), "--zero-shot", "--limit", "5"]) == 0
    page = tmp_path / "page.html"
    search = ["search", str(model), "red circle|绿色方形", "--source", str(shop), "--page", str(page), "--top-k", "3"]
    assert main([*search, "--image-id-column", "id", "--regions", str(tmp_path / "kept")]) == 0
    printed = capsys.readouterr().out
    assert "best 3 of 24" in printed
    assert page.read_text(encoding="utf-8").count('class="hit"') == 6
    assert len(RegionStore.open(tmp_path / "kept")) == 24


def judgements(path: Path, store: Path) -> Path:
    """Which colours and shapes are right for the shop's products; "a circle" and the like have eight each."""
    names = [one.product_id or one.image_id for one in RegionStore.open(store).captions()]
    colour_shape = [name.split("-") for name in names]
    rows = [f"a {shape}\t{name}\t3" for name, (_, shape) in zip(names, colour_shape, strict=True)]
    rows += [f"something {colour}\t{name}\t1" for name, (colour, _) in zip(names, colour_shape, strict=True)]
    rows += [f"something {colour}\t{name}\t0" for name, (colour, _) in zip(names[1:], colour_shape, strict=False)]
    path.write_text("query\tproduct_id\tgrade\n" + "\n".join(rows))
    return path


def as_beir(qrels: Path, folder: Path) -> tuple[Path, Path]:
    """The same judgements, and the texts of their queries by id."""
    rows = [line.split("\t") for line in qrels.read_text().splitlines()[1:]]
    ids = {text: f"q{number}" for number, text in enumerate(dict.fromkeys(text for text, _, _ in rows))}
    lines = ["query-id\tcorpus-id\tscore", *("\t".join((ids[text], name, grade)) for text, name, grade in rows)]
    (folder / "test.tsv").write_text("\n".join(lines))
    texts = "".join(json.dumps({"_id": name, "text": text}) + "\n" for text, name in ids.items())
    (folder / "queries.jsonl").write_text(texts)
    return folder / "test.tsv", folder / "queries.jsonl"


@pytest.mark.parametrize("mine", ["model", "batch", "judged"])
def test_finetuning_and_evaluating_on_judgements(
    pretrained: Path, shop_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mine: str
) -> None:
    qrels, model, metrics = judgements(tmp_path / "q.tsv", shop_store), tmp_path / "m", tmp_path / "metrics.json"
    words = ["--qrels", str(qrels), "--validation", str(shop_store), "--training.max-steps", "3"]
    assert main(finetune_words(pretrained, shop_store, model, *words, "--negatives.mine", mine)) == 0
    origin = json.loads((model / "provenance.json").read_text())
    assert origin["recipe"]["qrels"] == qrels.name  # published: names, no folders of this machine
    assert len(origin["data"]["qrels"]) == 16
    assert len(load_model(model).contrastive_head.query_bank) == 11  # three shapes and eight colours
    if mine != "model":
        return
    evaluate = ["evaluate", "retrieval", str(model), str(shop_store), "--qrels", str(qrels), "--out", str(metrics)]
    plot = tmp_path / "plot.svg"
    assert main([*evaluate, "--cascade", "5", "99", "--plot", str(plot), "--timed-queries", "1"]) == 0
    report = json.loads(metrics.read_text())
    assert [one["kind"] for one in report["stages"]] == ["recall", "head", "cascade", "joint"]
    assert report["stages"][0]["n"] == report["queries"] == 11
    assert report["stages"][-1]["chance"]["r@1"] == pytest.approx(100 * (3 * 8 / 24 + 8 * 3 / 24) / 11)
    assert plot.read_text().startswith("<svg")
    assert report["qrels"] == qrels.name  # its folder is nobody's business
    assert "nDCG@5" in capsys.readouterr().out
    named, texts = as_beir(qrels, tmp_path)
    evaluate_beir = ["evaluate", "retrieval", str(model), str(shop_store), "--qrels", str(named), "--out", str(metrics)]
    assert main([*evaluate_beir, "--query-texts", str(texts), "--timed-queries", "1"]) == 0
    same = json.loads(metrics.read_text())["stages"]
    assert [one["values"] for one in same] == [one["values"] for one in report["stages"] if one["kind"] != "cascade"]
    assert main(evaluate_beir) == 2
    assert "--query-texts FILE" in capsys.readouterr().err
    assert main([*evaluate, "--min-grade", "2", "--queries", "2", "--judged-only"]) == 0
    report = json.loads(metrics.read_text())
    assert (report["queries"], report["queries_of"], report["unused_queries"]) == (2, 3, 8)
    assert report["stages"][-1]["values"]["r@1"]["value"] == 100  # nothing else is in its pool


def test_judgements_of_other_products_are_refused_before_training(
    pretrained: Path, shop_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "q.tsv").write_text("query\tproduct_id\nred\tB00X\n")
    assert main(finetune_words(pretrained, shop_store, tmp_path / "m", "--qrels", str(tmp_path / "q.tsv"))) == 2
    assert "calls none of the products" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_regions_of_another_extractor_are_refused(
    pretrained: Path, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    words = ["extract", str(shop), str(other), "--text-columns", "title", "--scales", "1", "--input-size", "64"]
    assert main(words) == 0
    capsys.readouterr()
    assert main(finetune_words(pretrained, other, tmp_path / "model")) == 2
    assert "another extractor" in capsys.readouterr().err
    assert main(["evaluate", "retrieval", str(pretrained), str(other)]) == 2
    assert "scales" in capsys.readouterr().err


def test_a_run_does_not_go_on_with_regions_that_another_extractor_put_in_their_place(
    pretrained: Path, shop_store: Path, tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = tmp_path / "run"
    shutil.copytree(pretrained, stopped)
    (stopped / "finished.json").unlink()
    settings = json.loads((stopped / "recipe.json").read_text())
    (stopped / "recipe.json").write_text(json.dumps(settings | {"out": str(stopped)}))
    before = RegionStore.open(shop_store).info
    assert ExtractorInfo.from_json((stopped / "regions.json").read_text()) == before
    (stopped / "regions.json").write_text(replace(before, version=2).to_json())
    assert main(pretrain_words(shop_store, tiny_bert, stopped, "--training.epochs", "2")) == 2
    assert "another extractor (version 1, asked for 2)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", ["[" * 800 + "]" * 800, '{"a": ', "[]\n", "\xff"], ids=["deep", "cut", "list", "bytes"]
)
@pytest.mark.parametrize(
    "name", ["recipe.json", "regions.json", "training.json", "trainer_state.json", "log_history.jsonl"]
)
def test_a_damaged_file_of_a_run_is_one_line_that_names_it_and_a_remedy(
    pretrained: Path,
    shop_store: Path,
    tiny_bert: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str,
) -> None:
    stopped = tmp_path / "run"
    shutil.copytree(pretrained, stopped)
    (stopped / "finished.json").unlink()
    settings = json.loads((stopped / "recipe.json").read_text())
    (stopped / "recipe.json").write_text(json.dumps(settings | {"out": str(stopped)}))
    for file in stopped.rglob(name):
        file.write_bytes((content + "\n" * (name == "log_history.jsonl")).encode("latin-1"))
    assert main(pretrain_words(shop_store, tiny_bert, stopped, "--training.epochs", "2")) == 2
    said = capsys.readouterr().err
    assert re.match(rf"interbert: {stopped}/\S*{name}(, line 1)?: is damaged \(.+\)\. (Restore it|Remove )", said)
    assert len(said.splitlines()) == 1


def test_after_kill_nine_the_run_ends_with_the_weights_of_one_that_was_never_killed(
    pretrained: Path, shop_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--training.epochs", "4", "--training.validations-per-epoch", "2", "--training.ema-decay", "0.9"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = run_in_process(finetune_words(pretrained, shop_store, killed, *words))
    wait_for(lambda: list(killed.glob("checkpoints/checkpoint-*/training.json")), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (killed / "finished.json").exists()
    assert main(finetune_words(pretrained, shop_store, whole, *words)) == 0
    assert "continuing from" not in capsys.readouterr().out
    assert main(finetune_words(pretrained, shop_store, killed, *words)) == 0
    assert "continuing from" in capsys.readouterr().out
    last = {
        out: max((out / "checkpoints").glob("checkpoint-*"), key=lambda p: int(p.name[11:])) for out in (killed, whole)
    }
    assert last[killed].name == last[whole].name
    for name in ("model.safetensors", "ema.safetensors"):
        ours, theirs = load_file(last[killed] / name), load_file(last[whole] / name)
        assert all(ours[key].equal(theirs[key]) for key in theirs), name


def test_ctrl_c_saves_and_a_rerun_continues(shop_store: Path, tiny_bert: str, tmp_path: Path) -> None:
    out = tmp_path / "model"
    words = pretrain_words(shop_store, tiny_bert, out, "--training.epochs", "40")
    process = run_in_process(words)
    wait_for(lambda: (out / "log_history.jsonl").exists(), process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors[-800:]
    assert "Traceback" not in errors
    assert "continues" in errors
    saved = [int(path.name[11:]) for path in (out / "checkpoints").glob("checkpoint-*")]
    assert saved
    again = run_in_process(words)
    wait_for(lambda: any(one.get("step", 0) > max(saved) for one in log_of(out)), again)
    os.killpg(again.pid, signal.SIGKILL)
    assert "continuing from" in again.communicate()[0]
    seconds = [one["seconds"] for one in log_of(out)]
    assert seconds == sorted(seconds)  # the second run goes on where the first one was stopped


def test_a_loss_that_is_not_finite_stops_with_what_to_do(
    shop_store: Path, tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = pretrain_words(shop_store, tiny_bert, tmp_path / "model", "--training.learning-rate", "1e30")
    assert main([*words, "--training.warmup", "0"]) == 1
    assert "not finite (every sample's lm_loss" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_names_objective_and_sample(
    shop_store: Path,
    tiny_bert: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from interbert.data.examples import PairData

    original, spoilt = PairData.image, 5

    def image(self: PairData, regions, row):
        features, locations = original(self, regions, row)
        return (features * float("nan") if row == spoilt else features), locations

    brief = ["--warm-start.head-epochs", "0", "--warm-start.epochs", "0", "--text-columns", "title"]
    monkeypatch.setattr(PairData, "image", image)
    assert main([*pretrain_words(shop_store, tiny_bert, tmp_path / "model"), *brief]) == 1
    message = capsys.readouterr().err
    wrong = list(RegionStore.open(shop_store).captions())[spoilt].texts[0]
    assert repr(wrong) in message
    assert message.count("pair ") == 1
    assert "matching_loss" in message


def test_sigterm_saves_and_exits_as_such(shop_store: Path, tiny_bert: str, tmp_path: Path) -> None:
    out = tmp_path / "model"
    process = run_in_process(pretrain_words(shop_store, tiny_bert, out, "--training.epochs", "40"))
    wait_for(lambda: (out / "log_history.jsonl").exists(), process)
    os.kill(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 143, errors[-800:]
    assert "Traceback" not in errors
    assert list(out.glob("checkpoints/checkpoint-*/training.json"))


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGKILL, marks=AT_LENGTH), pytest.param(signal.SIGTERM, marks=AT_LENGTH)]
)
def test_a_warm_start_that_a_signal_ends_goes_on_bit_by_bit(
    number: signal.Signals, shop_store: Path, tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--warm-start.head-epochs", "40", "--warm-start.epochs", "1", "--training.max-steps", "1"]
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    process = run_in_process(pretrain_words(shop_store, tiny_bert, stopped, *words))
    checkpoints = stopped / "checkpoints" / "warm_start_0" / "checkpoints"
    wait_for(lambda: list(checkpoints.glob("checkpoint-*/training.json")), process)
    os.killpg(process.pid, number)
    _, errors = process.communicate()
    assert process.returncode == (143 if number == signal.SIGTERM else -9), errors[-800:]
    assert "Traceback" not in errors
    assert not (stopped / "checkpoints" / "warm_start.safetensors").exists()
    for out in (whole, stopped):
        assert main(pretrain_words(shop_store, tiny_bert, out, *words)) == 0
        assert ("continuing from" in capsys.readouterr().out) == (out == stopped)
    ours, theirs = (load_file(out / "checkpoints" / "warm_start.safetensors") for out in (whole, stopped))
    assert all(ours[name].equal(theirs[name]) for name in theirs)
    ours, theirs = (load_file(out / "model.safetensors") for out in (whole, stopped))
    assert all(ours[name].equal(theirs[name]) for name in theirs)


def test_a_full_disk_is_one_line_and_the_last_checkpoint_stays(
    pretrained: Path,
    shop_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "model"
    words = finetune_words(pretrained, shop_store, out, "--training.epochs", "3")
    average_save = WeightAverage.save
    saved: list[Path] = []

    def fill_the_disk(self: WeightAverage, folder: Path, write: bool = True) -> None:
        if saved:
            raise OSError(errno.ENOSPC, "No space left on device", str(folder))
        average_save(self, folder, write)
        saved.append(folder)

    monkeypatch.setattr(WeightAverage, "save", fill_the_disk)
    assert main(words) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("interbert:")]
    assert len(errors) == 1
    assert "disk is full" in errors[0]
    monkeypatch.undo()
    assert main(words) == 0
    assert f"continuing from {saved[0]}" in capsys.readouterr().out


def test_loader_processes_give_the_same_training(pretrained: Path, shop_store: Path, tmp_path: Path) -> None:
    losses = []
    for workers in ("0", "1"):
        out = tmp_path / workers
        words = finetune_words(pretrained, shop_store, out, "--training.epochs", "1", "--training.workers", workers)
        assert main(words) == 0
        losses.append([one["matching_loss"] for one in log_of(out) if "matching_loss" in one])
    assert losses[0] == losses[1]


def test_without_a_dual_encoder_pretraining_judges_the_joint_model(
    shop_store: Path, tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model.contrastive-size", "null", "--warm-start.head-epochs", "0", "--warm-start.epochs", "0"]
    assert main([*pretrain_words(shop_store, tiny_bert, tmp_path / "m"), *words, "--training.max-steps", "2"]) == 0
    assert any("eval_r@1" in one for one in log_of(tmp_path / "m"))
    assert "kept: step" in capsys.readouterr().out
    assert load_model(tmp_path / "m").config.contrastive_size is None


def test_a_start_that_failed_does_not_claim_the_folder(
    shop_store: Path, tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    brief = ["--training.max-steps", "1", "--warm-start.head-epochs", "0", "--warm-start.epochs", "0"]
    assert main([*pretrain_words(shop_store, "absent/", tmp_path / "m"), *brief]) == 2
    assert main([*pretrain_words(shop_store, tiny_bert, tmp_path / "m"), *brief]) == 0
    shown = capsys.readouterr().out
    assert "of 1, dual_r@1" in shown
    assert "validation images: which step is best" in shown


def test_finetuning_logs_into_its_own_folder_and_judges_its_start_as_step_0(
    pretrained: Path,
    shop_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(finetune_words(pretrained, shop_store, Path("m"), "--training.max-steps", "1")) == 0
    shown = capsys.readouterr().out
    assert "steps: 1 of" in shown
    assert "no gain beyond chance over the model that training started from" in shown
    assert "untrained, titles and the extractor's features find the right image first for" in shown
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert [one["step"] for one in log_of(tmp_path / "m") if "eval_r@1" in one] == [0, 1]
    modes = {file.stat().st_mode & 0o777 for file in (tmp_path / "m").iterdir() if file.is_file()}
    assert len(modes) == 1  # the weights are as readable as the rest


def test_a_folder_with_something_else_in_it_is_left_alone(
    shop_store: Path, tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert main(pretrain_words(shop_store, tiny_bert, tmp_path)) == 2
    assert "so that nothing is replaced" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert main(pretrain_words(shop_store, tiny_bert, tmp_path / "config.json")) == 2


def test_negatives_of_the_batch_follow_the_model(pretrained: Path, shop_store: Path, tmp_path: Path) -> None:
    words = ["--negatives.mine=batch", "--training.epochs=2", "--negatives.random-epochs=0"]
    assert main(finetune_words(pretrained, shop_store, tmp_path / "m", *words)) == 0
    lines = [one for one in log_of(tmp_path / "m") if "matching_loss" in one]
    assert lines[0]["matching_loss_chance"] == pytest.approx(0.6365, abs=1e-3)
    assert not (tmp_path / "m" / "negatives.safetensors").exists()


def test_a_rerun_takes_the_pools_that_were_mined(
    pretrained: Path, shop_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interbert.data.negatives import Negatives
    from interbert.training.trainer import InterBertTrainer

    words = finetune_words(pretrained, shop_store, tmp_path / "m", "--training.max-steps=1")
    with monkeypatch.context() as patch:
        patch.setattr(InterBertTrainer, "train_or_resume", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main(words) == 130
    assert (tmp_path / "m" / "negatives.safetensors").exists()
    monkeypatch.setattr(Negatives, "from_vectors", None)  # mining again would fail
    assert main(words) == 0


def test_the_reference_optimizer_is_one_switch(pretrained: Path, shop_store: Path, tmp_path: Path) -> None:
    words = ["--training.reference-quirks=true", "--training.max-steps=2"]
    assert main(finetune_words(pretrained, shop_store, tmp_path / "m", *words)) == 0
    saved = max((tmp_path / "m" / "checkpoints").glob("checkpoint-*"))
    state = torch.load(saved / "optimizer.pt", weights_only=True)
    assert all(set(one) == {"mean", "square"} for one in state["state"].values())
    sizes = {len(group["params"]): group["weight_decay"] for group in state["param_groups"]}
    assert sorted(sizes.values()) == [0.0, 0.01]
    shapes = {index: one["mean"].ndim for index, one in state["state"].items()}
    for group in state["param_groups"]:
        dims = {shapes[index] for index in group["params"] if index in shapes}
        assert dims <= ({0, 1} if group["weight_decay"] else {2})
