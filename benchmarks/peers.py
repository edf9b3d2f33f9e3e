"""Ours beside what others would take, in one run: the hundred nearest of many vectors, and texts read with images.

    OMP_NUM_THREADS=1 python benchmarks/peers.py --work runs/peers --out benchmarks/results/peers.md
    OMP_NUM_THREADS=1 python benchmarks/peers.py --quick

Contestants are processes of their own (peers_recall.py, peers_joint.py), all open at once, and are asked in turn, a
round each, so that other work on the machine slows all of them alike. Vectors, images and the model's weights are made.
100,000 vectors, with --full a million (8 GB of disk and of memory); --quick takes 40,000 and two rounds. Memory is what
a process grows by from before it imports the library until it has answered every question; files are built before, by
another process. The last line is JSON of everything, which also is in WORK/peers.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from peers_process import Contestant

from interbert.search.runtime_choice import processor_name

_HERE = Path(__file__).resolve().parent
RECALL = {
    "ours": ("interbert, from disk", "any", "at once, atomic"),
    "ours-memory": ("interbert, from memory", "any", "at once, atomic"),
    "lancedb": ("LanceDB, default index (IVF_PQ)", "any", "at once, atomic; new rows compared one by one"),
    "lancedb-refined": ("LanceDB, the same, refined", "any", "as above"),
    "faiss-flat": ("faiss flat", "a bit for each id, kept by hand", "add and remove, one process"),
    "faiss-hnsw": ("faiss HNSW", "a bit for each id, kept by hand", "add alone"),
    "torch": ("torch: one product, topk", "a mask, kept by hand", "a matrix made anew"),
}
"""Name -> what it is, its filters and its changes."""
JOINT = {
    "cross-encoder": "sentence-transformers CrossEncoder, float32, images described in every call",
    "transformers-fp32": "transformers loop, 32 in a padded batch, float32",
    "transformers-bf16": "the same, bf16 by autocast",
    "batched-bf16": "up to 16,384 tokens in a batch by length, bf16 by autocast",
    "ours-torch": "interbert, torch",
    "ours": "interbert as it comes",
}
_PACKAGES = ("torch", "transformers", "sentence-transformers", "openvino", "lancedb", "pylance", "faiss-cpu", "numpy")
_BUILT = ("lancedb", "faiss-hnsw")
Rounds = list[dict[str, Any]]


def run_recall(work: Path, products: int, rounds: int, names: Sequence[str]) -> dict[str, Any]:
    """Build what contestants need, then ask them in turn."""
    folder = work / f"recall_{products}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "common").mkdir(exist_ok=True)
    builds = _kept(folder / "builds.json")
    if "ours" not in builds or not (folder / "questions.npz").is_file():
        said = _done("peers_files.py", "vectors", "--work", str(folder), "--products", str(products))
        builds["ours"] = said["build"]
        _write(folder / "builds.json", builds)
    for name in _BUILT:
        if name not in builds and any(one.startswith(name) for one in names):
            builds[name] = _done("peers_files.py", name, "--work", str(folder))["build"]
            _write(folder / "builds.json", builds)
    found = _asked("peers_recall.py", names, folder, rounds)
    for name, one in found.items():
        one["build"] = builds.get(name.removesuffix("-refined").removesuffix("-memory"))
    return {"products": products, "contestants": found}


def run_joint(work: Path, rounds: int, names: Sequence[str]) -> dict[str, Any]:
    """Ask in turn, then compare scores with those of the transformers loop in float32."""
    folder = work / "joint"
    (folder / "common").mkdir(parents=True, exist_ok=True)
    subprocess.run(_command("peers_joint.py", "prepare", "--work", str(folder)), check=True, env=_environ())
    found = _asked("peers_joint.py", names, folder, rounds)
    exact = np.load(folder / "scores_transformers-fp32.npy")
    for name, one in found.items():
        scores = np.load(folder / f"scores_{name}.npy")
        one["difference"] = float(np.sqrt(np.square(scores - exact).mean()))
        firsts = (each.reshape(16, -1).argmax(axis=1) for each in (scores, exact))
        one["first"] = int(np.equal(*firsts).sum())
    return {"deviation": float(exact.std()), "contestants": found}


def _asked(script: str, names: Sequence[str], folder: Path, rounds: int) -> dict[str, Any]:
    """What contestants say of themselves, and their rounds."""
    contestants: list[Contestant] = []
    try:
        for name in names:
            print(f"{name} ...", file=sys.stderr, flush=True)
            command = _command(script, name, "--work", str(folder))
            contestants.append(Contestant.start(name, command, _environ()))
        for place in range(rounds):
            shift = place % len(contestants)
            for one in contestants[shift:] + contestants[:shift]:
                one.ask()
    finally:
        for one in contestants:
            one.stop()
    return {one.name: {**one.ready, "rounds": one.rounds} for one in contestants}


def _command(script: str, *words: str) -> list[str]:
    return [sys.executable, str(_HERE / script), *words]


def _environ() -> dict[str, str]:
    paths = [str(_HERE / "build_rows"), str(_HERE.parent / "src"), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def _done(script: str, *words: str) -> dict[str, Any]:
    print(f"{' '.join(words[:2])} ...", file=sys.stderr, flush=True)
    printed = subprocess.run(
        _command(script, *words), check=True, env=_environ(), stdout=subprocess.PIPE, text=True
    ).stdout
    return dict(json.loads(printed.strip().splitlines()[-1]))


def _kept(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def times(rounds: Rounds, kind: str) -> tuple[str, str]:
    """p50 with the rounds' least and most p50, and p95 of all rounds, in ms."""
    middles = [statistics.median(one["milliseconds"][kind]) for one in rounds]
    everything = [value for one in rounds for value in one["milliseconds"][kind]]
    spread = f"{statistics.median(middles):.3g} [{min(middles):.3g}, {max(middles):.3g}]"
    return spread, f"{np.quantile(everything, 0.95):.3g}"


def processor(rounds: Rounds, kind: str) -> float:
    """Median of processor time, all threads, in ms."""
    return statistics.median(float(one["processor"][kind]) for one in rounds)


def recall_table(result: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        f"| {result['products']:,} vectors | p50, ms [rounds] | p95, ms | processor, ms | recall@100 | filter of 10%: "
        "p50, ms [rounds] | recall@100 | memory, MB | files, MB | build, s (processor) | filters | changes |",
        "| " + " | ".join(["---"] * 12) + " |",
    ]
    for name, one in result["contestants"].items():
        what, filters, changes = RECALL[name]
        middle, slow = times(one["rounds"], "all")
        built = "{:.0f} ({:.0f})".format(*one["build"]) if one["build"] else ""
        setting = one["setting"]
        cells = [
            what + (f" ({setting})" if setting else ""),
            *(middle, slow, f"{processor(one['rounds'], 'all'):.3g}", f"{one['recall']:.3f}"),
            *(times(one["rounds"], "filtered")[0], f"{one['recall_filtered']:.3f}"),
            f"{max(turn['resident'] for turn in one['rounds']) / 1e6:,.0f}",
            *(f"{one['disk'] / 1e6:,.0f}", built, filters, changes),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def joint_table(result: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "| joint pass | 32 candidates: p50, ms [rounds] | p95, ms | processor, ms | 512 pairs: pairs/s [rounds] | "
        f"processor, ms a pair | memory, MB | from float32 (deviation {result['deviation']:.2f}) | same first |",
        "| " + " | ".join(["---"] * 9) + " |",
    ]
    for name, one in result["contestants"].items():
        rates = [512e3 / turn["milliseconds"]["many"][0] for turn in one["rounds"]]
        middle, slow = times(one["rounds"], "query")
        cells = [
            JOINT[name] + (f" ({one['setting']})" if one["setting"] else ""),
            *(middle, slow, f"{processor(one['rounds'], 'query'):.3g}"),
            f"{statistics.median(rates):.0f} [{min(rates):.0f}, {max(rates):.0f}]",
            f"{processor(one['rounds'], 'many') / 512:.2f}",
            f"{max(turn['resident'] for turn in one['rounds']) / 1e6:,.0f}",
            f"{one['difference']:.2g}",
            f"{one['first']} of 16",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machine() -> str:
    """In words."""
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    packages = ", ".join(f"{one} {version(one)}" for one in _PACKAGES)
    return (
        f"{os.cpu_count()} cores, {processor_name()}, OMP_NUM_THREADS {threads}, load {load} at the end; Python "
        f"{platform.python_version()}, {packages}."
    )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/peers"), help="folder for vectors, indexes, results")
    parser.add_argument("--only", choices=("recall", "joint"))
    parser.add_argument("--contestants", nargs="+", choices=[*RECALL, *JOINT], default=[*RECALL, *JOINT])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="40,000 vectors, two rounds")
    parser.add_argument("--full", action="store_true", help="a million vectors")
    parser.add_argument("--out", type=Path, help="Markdown file of the tables")
    said = parser.parse_args()
    products = 40_000 if said.quick else 1_000_000 if said.full else 100_000
    rounds = 2 if said.quick else said.rounds
    work = said.work.resolve()
    result: dict[str, Any] = {}
    parts: list[str] = []
    if said.only != "joint":
        names = [name for name in RECALL if name in said.contestants]
        result["recall"] = run_recall(work, products, rounds, names)
        parts.append(recall_table(result["recall"]))
        print(parts[-1], flush=True)
    if said.only != "recall":
        names = [name for name in JOINT if name in said.contestants or name == "transformers-fp32"]
        result["joint"] = run_joint(work, rounds, names)
        parts.append(joint_table(result["joint"]))
        print(parts[-1], flush=True)
    parts.append(machine())
    result["machine"] = parts[-1]
    _write(work / "peers.json", _kept(work / "peers.json") | result)
    if said.out:
        said.out.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(parts[-1])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
