"""Kill training at random moments, again and again: does it end as one that nobody killed?

    python benchmarks/kill_resume.py --regions regions/validation --out runs/kill_resume --times 30

Pretrains and fine-tunes on a region store (a few hundred pairs are enough) with dropout, masking, hard negatives, EMA,
warm-up, accumulation and loader processes, in float32: once without interruption, then with SIGKILL to the whole
process group, half of the kills while a checkpoint is being written, and the same command again after each. A killed
run's log lines, last weights, average, optimizer and kept model must be bit-identical to the whole run's. Prints a
line per kill; the last line is JSON. Exit code 1 when anything differs; such a run's folder is left.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from interbert.training.model_card import versions

EVERYWHERE = [
    "--training.precision=fp32",
    "--training.batch-size=8",
    "--training.gradient-accumulation=2",
    "--training.ema-decay=0.99",
    "--training.validations-per-epoch=4",
    "--training.log-steps=3",
    "--validation-share=0.2",
    "--negatives.random-epochs=0.2",
    "--negatives.rise-epochs=0.3",
]
TIMES = ("seconds", "pairs_per_second")
"""Fields of log lines that are not the training's."""


@dataclass
class Kind:
    """Pretraining or fine-tuning: its command without the folder."""

    name: str
    before: list[str]
    after: list[str]
    whole: Path = field(default_factory=Path)
    seconds: float = 0.0

    def words(self, out: Path) -> list[str]:
        """The whole command."""
        return [sys.executable, "-m", "interbert", *self.before, str(out), *self.after]


@dataclass
class Kills:
    """What was done so far."""

    made: int = 0
    inside_a_write: int = 0
    runs: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regions", required=True, help="region store with texts")
    parser.add_argument("--out", required=True, help="folder for the runs; what is in it is replaced")
    parser.add_argument("--times", type=int, default=30, help="kills, half of them in pretraining")
    parser.add_argument("--init-from", default="minilm", help="BERT to start from")
    parser.add_argument("--steps", type=int, default=24, help="optimizer steps of a run")
    parser.add_argument("--workers", type=int, default=2, help="loader processes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    out = Path(arguments.out)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    moments = random.Random(arguments.seed)
    both = [*EVERYWHERE, f"--training.max-steps={arguments.steps}", f"--training.workers={arguments.workers}"]
    unwarmed = ["--warm-start.head-epochs=0", "--warm-start.epochs=0", f"--init-from={arguments.init_from}"]
    pretraining = Kind("pretraining", ["pretrain", arguments.regions], [*both, *unwarmed, "--training.epochs=50"])
    pretraining.whole = out / "pretraining"
    start = ["finetune", "retrieval", str(pretraining.whole), arguments.regions]
    finetuning = Kind("fine-tuning", start, [*both, "--training.epochs=50"], out / "finetuning")
    kills, differences = Kills(), []
    for kind in (pretraining, finetuning):
        started = time.monotonic()
        _finish(kind, kind.whole)
        kind.seconds = time.monotonic() - started
        print(f"{kind.name}: whole in {kind.seconds:.0f} s", flush=True)
    for kind, upto in ((pretraining, arguments.times // 2), (finetuning, arguments.times)):
        while kills.made < upto:
            folder = out / f"{kind.name}-{kills.runs}"
            kills.runs += 1
            _kill_until_done(kind, folder, kills, upto, moments)
            found = differing(kind.whole, folder)
            print(f"{kind.name} run {kills.runs}: {'; '.join(found) or 'bit-identical'}", flush=True)
            differences += found
            if not found:
                shutil.rmtree(folder)
    line: dict[str, Any] = {"kills": kills.made, "inside_a_write": kills.inside_a_write, "killed_runs": kills.runs}
    print(json.dumps(line | {"differences": differences, "versions": versions()}))
    sys.exit(bool(differences))


def _kill_until_done(kind: Kind, folder: Path, kills: Kills, upto: int, moments: random.Random) -> None:
    """Start, kill, start again; the run is left alone when it has been killed four times or all kills are made."""
    for _ in range(4):
        if kills.made == upto:
            break
        in_write = moments.random() < 0.5
        started = time.time()
        running = _start(kind, folder)
        end = time.monotonic() + moments.uniform(0.05, 0.9) * kind.seconds
        while running.poll() is None and not (_writing(folder, started) if in_write else time.monotonic() > end):
            time.sleep(0.002)
        if in_write:
            time.sleep(moments.uniform(0, 0.3))
        if running.poll() is not None:
            break
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        unfinished = _writing(folder, started)
        kills.made += 1
        kills.inside_a_write += unfinished
        step = max((int(path.name[11:]) for path in folder.glob("checkpoints/checkpoint-*")), default=0)
        where = f"inside the write of checkpoint {step}" if unfinished else f"last checkpoint {step}"
        print(f"{kind.name}: kill {kills.made}, {where}", flush=True)
    _finish(kind, folder)


def _writing(folder: Path, since: float) -> bool:
    """Whether a checkpoint or the kept model is being written by a process that was started at ``since``."""
    parts = [folder / "best.part"] if (folder / "best.part").exists() else []
    parts += [one for one in folder.glob("checkpoints/checkpoint-*") if not (one / "training.json").exists()]
    with contextlib.suppress(OSError):  # what is renamed or removed just now
        return any(part.stat().st_mtime >= since for part in parts)
    return False


def _start(kind: Kind, folder: Path) -> subprocess.Popen[bytes]:
    log = (folder.parent / f"{folder.name}.log").open("ab")
    return subprocess.Popen(kind.words(folder), stdout=log, stderr=log, start_new_session=True)


def _finish(kind: Kind, folder: Path) -> None:
    if _start(kind, folder).wait():
        sys.exit(f"{kind.name} failed: see {folder.parent / folder.name}.log")


def differing(whole: Path, killed: Path) -> list[str]:
    """What of a killed run is not as the whole run has it; empty when all is."""
    found = []
    if _lines(whole) != _lines(killed):
        found.append("log lines differ")
    ends = [
        max((run / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name[11:])) for run in (whole, killed)
    ]
    if ends[0].name != ends[1].name:
        return [*found, f"last checkpoints are {ends[0].name} and {ends[1].name}"]
    pairs = {name: (ends[0] / name, ends[1] / name) for name in ("model.safetensors", "ema.safetensors")}
    pairs["kept model.safetensors"] = (whole / "model.safetensors", killed / "model.safetensors")
    for name, files in pairs.items():
        first, second = (load_file(file) for file in files)
        if first.keys() != second.keys() or any(not first[key].equal(second[key]) for key in first):
            found.append(f"{name} differs")
    states = [torch.load(end / "optimizer.pt", weights_only=True)["state"] for end in ends]
    if any(not states[0][key][part].equal(states[1][key][part]) for key in states[0] for part in states[0][key]):
        found.append("optimizer differs")
    return found


def _lines(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "log_history.jsonl").read_text(encoding="utf-8").splitlines()]
    # the library's own summary of a whole call has its duration
    lines = [line for line in lines if "train_runtime" not in line]
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


if __name__ == "__main__":
    main()
