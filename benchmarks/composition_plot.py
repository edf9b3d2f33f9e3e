"""What composition.py found, as a picture.

    pip install matplotlib
    python benchmarks/composition_plot.py --out runs/composition [--language en|zh] composition.svg

Left: loss of masked words in the first lessons, which stays where it is for long and then falls. Right: group scores by
what differs, on unseen combinations of two objects.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure  # type: ignore[import-not-found]

_CHANCE = 100 / 6
_BARS = (("joint", "joint model", "#3f51b5"), ("dual", "dual encoder", "#b0b7c9"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of composition.py")
    parser.add_argument("--language", choices=("en", "zh"), default="en")
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    figure = Figure(figsize=(10, 3.4))
    left, right = figure.subplots(1, 2)
    history = (arguments.out / f"first-{arguments.language}" / "log_history.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in history.splitlines()]
    logged = [(one["step"], one["lm_loss"], one["matching_loss"]) for one in lines if "lm_loss" in one]
    steps, words, matching = np.array(logged).T
    left.plot(steps, words, color="#3f51b5", label="masked words")
    left.plot(steps, matching, color="#f57c00", label="matching")
    left.set(title="First lessons: one object is named", xlabel="step of 64 pairs", ylabel="loss", ylim=(0, 1.5))
    left.legend(frameon=False)
    scores = json.loads((arguments.out / f"scores-{arguments.language}.json").read_text(encoding="utf-8"))["unseen_two"]
    places = np.arange(len(scores))
    for number, (name, label, colour) in enumerate(_BARS):
        values = [100 * one[name]["group"] for one in scores.values()]
        right.bar(places + 0.4 * number - 0.2, values, 0.4, label=label, color=colour)
    right.axhline(_CHANCE, color="grey", linestyle="--", linewidth=1, label="chance")
    right.set_xticks(places, list(scores))
    right.set(title="Unseen combinations of two objects, by what differs", ylabel="group score, %", ylim=(0, 118))
    right.legend(frameon=False, ncols=3, loc="upper center")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(arguments.file)


if __name__ == "__main__":
    main()
