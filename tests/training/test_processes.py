"""Several processes train as one does: gloo on the CPU, tiny models."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tests.conftest import AT_LENGTH
from tests.forked import COMMAND, together

from interbert.cli.main import main
from interbert.regions.store import RegionStore

SAME = [
    "--training.epochs=1",
    "--training.log-steps=1",
    "--training.precision=fp32",
    "--model.dropout=0",
    "--model.pooler-size=16",
    "--validation-share=0.2",
    "--warm-start.head-epochs=0",
    "--warm-start.epochs=0",
    "--training.ema-decay=0.9",
]


SPOILT = """
from interbert.cli.main import console
from interbert.data.examples import PairData
original = PairData.image
def image(self, regions, row):
    features, locations = original(self, regions, row)
    return (features * float("nan") if row == 5 else features), locations
PairData.image = image
console()
"""
"""The command with one image whose features are no numbers."""

TRACED = """
from interbert.cli.main import console
from interbert.training import arguments
plain = arguments.TrainingArguments
def traced(**settings):
    return plain(**settings, torch_compile_backend="aot_eager")
arguments.TrainingArguments = traced
console()
"""
"""The command with a compiler that generates no code, which takes minutes on a CPU."""


def torchrun(words: list[str]) -> subprocess.Popen[str]:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.Popen(
        [*start, "-m", "interbert", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def finish(words: list[str], processes: int = 1, script: str = COMMAND) -> str:
    """Output of a run that has to end well. One process is this one, without its output."""
    if processes == 1:
        assert main(words) == 0
        return ""
    ended = together(script, words, processes)
    assert [code for code, _, _ in ended] == [0] * processes, [errors[-3000:] for _, _, errors in ended]
    return "".join(output for _, output, _ in ended)


def last_checkpoint(out: Path) -> Path:
    return max((out / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name[11:]))


def losses(out: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (out / "log_history.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if name in line]


def require_equal(first: Path, second: Path) -> None:
    """The same losses, gradient norms and weights, up to rounding.

    Adam divides rounding by rounding where a gradient is nearly nothing: a few such weights may differ.
    """
    for name in ("loss", "lm_loss", "region_loss", "matching_loss", "contrastive_loss"):
        assert losses(second, name) == pytest.approx(losses(first, name), abs=3e-4), name
    norms = [losses(out, "grad_norm") for out in (first, second)]
    assert norms[1][0] == pytest.approx(norms[0][0], rel=1e-5)
    assert norms[1] == pytest.approx(norms[0], rel=1e-3)
    for file in ("model.safetensors", "ema.safetensors"):
        a, b = (load_file(last_checkpoint(out) / file) for out in (first, second))
        assert a.keys() == b.keys()
        apart = sum(int(((a[name] - b[name]).abs() > 1e-5).sum()) for name in a)
        assert apart < 0.01 * sum(value.numel() for value in a.values()), file


def pretrain(store: Path, bert: str, out: Path, batch: int, *more: str) -> list[str]:
    return ["pretrain", str(store), str(out), f"--init-from={bert}", f"--training.batch-size={batch}", *SAME, *more]


@pytest.mark.slow
def test_two_processes_are_one_of_twice_the_batch(shop_store: Path, tiny_bert: str, tmp_path: Path) -> None:
    contrast = ["--model.contrastive-size=16"]
    finish(pretrain(shop_store, tiny_bert, tmp_path / "two", 4, *contrast), 2)
    finish(pretrain(shop_store, tiny_bert, tmp_path / "one", 8, *contrast))
    require_equal(tmp_path / "one", tmp_path / "two")
    chance = [losses(tmp_path / out, "contrastive_loss_chance")[0] for out in ("one", "two")]
    assert chance[0] == chance[1]


@AT_LENGTH
@pytest.mark.slow
def test_two_processes_share_the_steps_of_the_warm_start(shop_store: Path, tiny_bert: str, tmp_path: Path) -> None:
    words = ["--model.contrastive-size=16", "--warm-start.head-epochs=3", "--warm-start.epochs=2"]
    words += ["--warm-start.dropout=0", "--training.max-steps=1"]
    finish(pretrain(shop_store, tiny_bert, tmp_path / "two", 4, *words), 2)
    finish(pretrain(shop_store, tiny_bert, tmp_path / "one", 8, *words))
    one, two = (load_file(tmp_path / name / "checkpoints" / "warm_start.safetensors") for name in ("one", "two"))
    apart = sum(int(((one[name] - two[name]).abs() > 1e-5).sum()) for name in one)
    assert apart < 0.01 * sum(value.numel() for value in one.values())


@pytest.mark.slow
def test_two_processes_are_one_that_accumulates(shop_store: Path, tiny_bert: str, tmp_path: Path) -> None:
    none = ["--model.contrastive-size=null"]
    finish(pretrain(shop_store, tiny_bert, tmp_path / "two", 4, *none), 2)
    finish(pretrain(shop_store, tiny_bert, tmp_path / "sum", 4, *none, "--training.gradient-accumulation=2"))
    require_equal(tmp_path / "two", tmp_path / "sum")


@AT_LENGTH
@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        pytest.param([], id="whole"),
        pytest.param(["--training.shard=true"], id="sharded"),
    ],
)
def test_two_processes_train_a_compiled_model_alike(
    more: list[str], shop_store: Path, tiny_bert: str, tmp_path: Path
) -> None:
    more = [*more, "--model.contrastive-size=16", "--training.max-steps=4"]
    finish(pretrain(shop_store, tiny_bert, tmp_path / "plain", 4, *more), 2)
    words = pretrain(shop_store, tiny_bert, tmp_path / "compiled", 4, *more, "--training.compile=true")
    finish(words, 2, TRACED)
    require_equal(tmp_path / "plain", tmp_path / "compiled")


@AT_LENGTH
@pytest.mark.slow
def test_sigterm_to_one_process_saves_in_all_and_a_rerun_continues(
    shop_store: Path, tiny_bert: str, tmp_path: Path
) -> None:
    words = pretrain(shop_store, tiny_bert, tmp_path / "m", 4, "--training.epochs=20", "--model.contrastive-size=16")
    running = torchrun(words)
    end = time.monotonic() + 120
    while not (tmp_path / "m" / "log_history.jsonl").exists():
        assert running.poll() is None, running.communicate()[1][-2000:]
        assert time.monotonic() < end
        time.sleep(0.05)
    children = subprocess.run(["pgrep", "-P", str(running.pid)], capture_output=True, text=True, check=True)
    os.kill(int(children.stdout.split()[-1]), signal.SIGTERM)
    _, errors = running.communicate(timeout=120)
    assert running.returncode != 0
    assert "The same command continues" in errors, errors[-2000:]
    saved = last_checkpoint(tmp_path / "m")
    assert (saved / "training.json").exists()
    assert {file.name for file in saved.glob("rng_state*")} == {"rng_state_0.pth", "rng_state_1.pth"}
    assert f"continuing from {saved}" in finish(words, 2)


@pytest.mark.slow
def test_fine_tuning_contrasts_the_pairs_of_all_processes(shop_store: Path, tiny_bert: str, tmp_path: Path) -> None:
    start = ["--training.max-steps=1", "--model.contrastive-size=16"]
    finish(pretrain(shop_store, tiny_bert, tmp_path / "m", 8, *start))
    same = [word for word in SAME if not word.startswith(("--model", "--warm"))] + ["--dropout=0"]
    words = ["finetune", "retrieval", str(tmp_path / "m"), str(shop_store)]
    finish([*words, str(tmp_path / "two"), "--training.batch-size=4", *same], 2)
    finish([*words, str(tmp_path / "one"), "--training.batch-size=8", *same])
    require_equal(tmp_path / "one", tmp_path / "two")
    assert len(losses(tmp_path / "two", "contrastive_loss")) > 1


@pytest.mark.slow
def test_fine_tuning_without_contrast_runs_in_two_processes(shop_store: Path, tiny_bert: str, tmp_path: Path) -> None:
    brief = ["--training.max-steps=1", "--model.contrastive-size=16"]
    finish(pretrain(shop_store, tiny_bert, tmp_path / "p", 4, *brief))
    words = ["finetune", "retrieval", str(tmp_path / "p"), str(shop_store), str(tmp_path / "m")]
    words += ["--contrastive-loss-weight=0", "--training.max-steps=2", "--training.batch-size=4"]
    output = finish([*words, "--validation-share=0.2"], 2)
    assert output.count("kept: step") == 1
    assert output.count("mixture:") <= 1


@AT_LENGTH
@pytest.mark.slow
def test_sharded_weights_train_as_copied_ones_and_go_on_after_a_stop(
    shop_store: Path, tiny_bert: str, tmp_path: Path
) -> None:
    words = ["--model.contrastive-size=16", "--training.gradient-accumulation=2"]
    finish(pretrain(shop_store, tiny_bert, tmp_path / "copied", 2, *words), 2)
    words += ["--training.shard=true"]
    finish(pretrain(shop_store, tiny_bert, tmp_path / "sharded", 2, *words), 2)
    require_equal(tmp_path / "copied", tmp_path / "sharded")
    kept = [load_file(tmp_path / out / "model.safetensors") for out in ("copied", "sharded")]
    assert {name: value.shape for name, value in kept[0].items()} == {
        name: value.shape for name, value in kept[1].items()
    }
    _require_resumed_alike(shop_store, tiny_bert, tmp_path, words)


@pytest.mark.slow
def test_a_sharded_run_names_the_sample_of_the_process_that_met_it(
    shop_store: Path, tiny_bert: str, tmp_path: Path
) -> None:
    words = pretrain(shop_store, tiny_bert, tmp_path / "m", 4, "--training.shard=true", "--text-columns=title")
    ended = together(SPOILT, words, 2)
    assert all(code != 0 for code, _, _ in ended)
    errors = "".join(errors for _, _, errors in ended)
    wrong = list(RegionStore.open(shop_store).captions())[5].texts[0]
    told = [line for line in errors.splitlines() if line.startswith("interbert: step ")]
    assert len(set(told)) == 1, errors[-3000:]
    assert told[0].count("pair ") == 1
    assert repr(wrong) in told[0]
    assert "matching_loss" in told[0]


def _require_resumed_alike(store: Path, bert: str, folder: Path, words: list[str]) -> None:
    """A sharded run whose end was lost comes to the same end from its first checkpoint."""
    words = [*words, "--training.epochs=2"]
    command = pretrain(store, bert, folder / "long", 2, *words)
    finish(command, 2)
    whole = {
        file: load_file(last_checkpoint(folder / "long") / file) for file in ("model.safetensors", "ema.safetensors")
    }
    log = losses(folder / "long", "loss")
    for lost in (last_checkpoint(folder / "long") / "training.json", folder / "long" / "finished.json"):
        lost.unlink()
    assert "continuing from" in finish(command, 2)
    assert losses(folder / "long", "loss") == log
    for file, state in whole.items():
        again = load_file(last_checkpoint(folder / "long") / file)
        assert all(again[name].equal(state[name]) for name in state), file
