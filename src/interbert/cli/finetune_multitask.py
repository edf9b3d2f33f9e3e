"""Fine-tune one model for several vision-and-language tasks: one trunk, and a head a task.

Each task has a recipe: a YAML file with the options of interbert finetune TASK but the model, the output and the
training. An epoch visits every example of every task once, so tasks are sampled by their sizes. interbert evaluate TASK
and interbert predict --task take the model as they take the model of one task.

    interbert finetune multitask models/pretrained models/several --tasks vqa=vqa.yaml,nlvr2=nlvr2.yaml
"""

from __future__ import annotations

from interbert.utils.terminal import say
from interbert.vl_tasks.options import FinetuneMultitaskOptions as Options


def run(options: Options) -> None:
    """Read every task, fine-tune."""
    from interbert.vl_tasks.multitask import finetune_multitask

    finetune_multitask(options)
    say(f"model: {options.out}")


__all__ = ["Options", "run"]
