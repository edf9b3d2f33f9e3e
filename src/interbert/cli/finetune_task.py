"""Fine-tune a model for a vision-and-language task, from the task's official files."""

from __future__ import annotations

from interbert.cli.task_verbs import TaskVerb
from interbert.utils.terminal import say
from interbert.vl_tasks.options import FinetuneTaskOptions as Options

_HELP = """Fine-tune a model for {title}.

MODEL is a model directory, best a pretrained one. SOURCE is the official file of the training split. Regions come from
stores by image id (--regions, --given-regions) or are extracted from a folder (--images). The official metric is
measured on --validation, or on held-out images. The same command continues a stopped run.

    {example}

docs/tasks.md has the files of every task, and what to expect.
"""

_EXAMPLES = {
    "vcr": "train.jsonl OUT --annotations vcr1images --validation val.jsonl --images vcr1images",
    "vqa": "questions.json OUT --annotations annotations.json --regions coco.store --labels trainval_label2ans.json",
    "gqa": "train_balanced_questions.json OUT --validation val_balanced_questions.json --regions gqa.store",
    "nlvr": "train.json OUT --validation dev.json --images train_images",
    "nlvr2": "train.json OUT --regions nlvr2.store --arrangement pair_attention",
    "snli-ve": "snli_ve_train.jsonl OUT --validation snli_ve_dev.jsonl --regions flickr30k.store",
    "refcoco": "refcoco OUT --images train2014",
    "flickr-entities": "flickr30k_entities OUT --regions flickr30k.store",
}


def of_task(name: str) -> TaskVerb:
    """The verb of a task."""
    from interbert.vl_tasks.names import TITLES

    def run(options: Options) -> None:
        from interbert.vl_tasks.finetune import finetune_task

        finetune_task(name, options)
        say(f"model: {options.out}")

    example = f"interbert finetune {name} models/pretrained {_EXAMPLES[name]}"
    return TaskVerb(_HELP.format(title=TITLES[name], example=example), Options, run)
