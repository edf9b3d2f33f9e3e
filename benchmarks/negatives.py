"""What each kind of hard negatives gives: one pretrained model, fine-tuned with each, judged on images held out.

    python benchmarks/negatives.py --model runs/fashion/pretrained --regions runs/fashion/regions/train \\
        --validation runs/fashion/regions/test --text-columns productDisplayName --out runs/negatives --steps 200

Same start, seed, order of pairs and number of steps for all; only where the wrong captions and images come from
differs. --validation names images that no training has seen: every kind is judged after its last step, none is
chosen by it. Prints recall of the joint pass alone among the dual encoder's 16 nearest images, of the dual encoder,
and of their mixture. Resumable: the same command goes on. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from interbert.training.finetune import finetune_retrieval
from interbert.training.model_card import versions
from interbert.training.options import FinetuneNegativeOptions, FinetuneRetrievalOptions, TrainingOptions
from interbert.training.trainer import LOG_HISTORY

HARD = FinetuneNegativeOptions(mine="neighbours", hard_share=0.8, random_epochs=0.05, rise_epochs=0.1)
KINDS = {
    "random alone": replace(HARD, hard_share=0.0),
    "neighbours (TF-IDF, image features)": HARD,
    "neighbours, near-same texts not spared": replace(HARD, near_same=None),
    "the model's, as it starts": replace(HARD, mine="model"),
    "the batch's, as it learns": replace(HARD, mine="batch"),
}
SHOWN = ("joint_r@1", "joint_r@5", "dual_r@1", "r@1", "r@5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="pretrained model directory")
    parser.add_argument("--regions", required=True, help="store to train on")
    parser.add_argument("--validation", required=True, help="store to judge on")
    parser.add_argument("--text-columns", nargs="*", default=[], help="columns whose texts to use")
    parser.add_argument("--out", required=True, help="folder for the runs")
    parser.add_argument("--steps", type=int, default=200, help="steps of 32 true pairs")
    parser.add_argument("--images", type=int, default=1000, help="at most so many to judge on")
    arguments = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    for number, (kind, negatives) in enumerate(KINDS.items()):
        out = Path(arguments.out) / str(number)
        finetune_retrieval(
            FinetuneRetrievalOptions(
                model=arguments.model,
                regions=arguments.regions,
                validation=arguments.validation,
                validation_limit=arguments.images,
                out=str(out),
                text_columns=arguments.text_columns,
                contrastive_loss_weight=1.0,
                negatives=negatives,
                training=TrainingOptions(
                    epochs=50,
                    max_steps=arguments.steps,
                    batch_size=32,
                    learning_rate=5e-5,
                    bert_learning_rate_scale=0.3,
                ),
            )
        )
        found[kind] = validation_at(out, arguments.steps)
        print(f"{kind:<40} " + "  ".join(f"{name} {found[kind][name]:.1f}" for name in SHOWN), flush=True)
    print(json.dumps({"kinds": found, "versions": versions()}))


def validation_at(out: Path, step: int) -> dict[str, float]:
    """What a run's log says of its validation after a step."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in (out / LOG_HISTORY).read_text().splitlines()]
    line = next(line for line in lines if "eval_r@1" in line and line["step"] == step)
    return {name: round(float(line[f"eval_{name}"]), 2) for name in SHOWN}


if __name__ == "__main__":
    main()
