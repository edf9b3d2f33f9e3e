"""Pretrain InterBERT on a region store: masked segments, masked regions, matching, and a dual encoder beside them.

Starts from a BERT (MiniLM, offline, by default) whose vocabulary grows by the characters of your texts. Watch each
loss against its chance value: `interbert report OUT`, OUT/log_history.jsonl or TensorBoard. The same command continues
a stopped run.

    interbert pretrain regions/train models/pretrained --validation regions/validation
    interbert pretrain --config recipes/pretrain_mini.yaml --training.epochs 5
"""

from __future__ import annotations

from interbert.training.options import PretrainOptions as Options
from interbert.utils.terminal import say


def run(options: Options) -> None:
    """Pretrain."""
    from interbert.training.pretrain import pretrain

    pretrain(options)
    say(f"model: {options.out}")


__all__ = ["Options", "run"]
