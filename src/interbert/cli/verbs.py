"""The verbs and the module of each. A verb's help is its module's docstring, its options are ``Options``."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from interbert.errors import UsageError, shortened
from interbert.vl_tasks.names import TITLES

VERBS: dict[str, tuple[str, str]] = {
    "extract": ("extract", "images and texts to a region store"),
    "import": ("import_regions", "region features of other people's files to a region store"),
    "regions info": ("regions_info", "what a region store holds"),
    "regions verify": ("regions_verify", "read a whole region store and find what is damaged"),
    "regions show": ("regions_show", "a region store's boxes and classes drawn on its images, as a page"),
    "dataset build": ("dataset_build", "a clean, split, documented data set out of a crawl of images and titles"),
    "pretrain": ("pretrain", "train InterBERT on a region store"),
    "pretrain text": ("pretrain_text", "train a BERT on texts alone, for InterBERT to start from"),
    "finetune retrieval": ("finetune_retrieval", "fine-tune a model to rank images for a text"),
    "finetune classification": ("finetune_classification", "fine-tune a model to classify texts, images or pairs"),
    **{f"finetune {name}": (f"finetune_task:{name}", f"fine-tune a model for {what}") for name, what in TITLES.items()},
    "finetune multitask": ("finetune_multitask", "fine-tune one model for several of these tasks"),
    "finetune backbone": ("finetune_backbone", "teach the image network of extraction a catalogue"),
    "report": ("report", "what a training run did, or several side by side, as a page"),
    "evaluate retrieval": ("evaluate_retrieval", "recall of a full ranking, with intervals"),
    "evaluate kdd": ("evaluate_kdd", "KDD Cup 2020 Multimodalities Recall: ranked candidates, submission, nDCG@5"),
    "evaluate muge": ("evaluate_muge", "MUGE and Chinese-CLIP's layout: ranked images, predictions, recall"),
    **{f"evaluate {name}": (f"evaluate_task:{name}", f"official metric of {what}") for name, what in TITLES.items()},
    "predict": ("predict", "answers for the rows of a table, with probabilities"),
    "score": ("score", "predictions of a benchmark against its answers, without a model"),
    "convert reference": ("convert_reference", "a checkpoint of the published code to a model directory"),
    "convert to-reference": ("convert_to_reference", "a model directory to a checkpoint of the published code"),
    "export onnx": ("export_onnx", "a retrieval model as files for onnxruntime and OpenVINO"),
    "index build": ("index_build", "an index of a catalogue, to search millions of products"),
    "index add": ("index_add", "new and changed products into an index, or prices and stock alone"),
    "index remove": ("index_remove", "products out of an index"),
    "index verify": ("index_verify", "whether an index is whole, and how much its recall loses"),
    "index info": ("index_info", "what an index holds, and with which model"),
    "index rollback": ("index_rollback", "the versions that an index keeps, and the way back to one of them"),
    "search": ("search", "the best products of an index, or of a small catalogue, for a text or an image"),
    "explain": ("explain", "which words and regions a match of a text and an image rests on"),
    "serve": ("serve", "search and topic pages of indexes over HTTP, while products and topics change"),
    "topics learn": ("topics_learn", "teach a model what topics look like, from its titled training images"),
    "topics build": ("topics_build", "a page of products for every topic, made or brought up to date"),
    "topics evaluate": ("topics_evaluate", "topic pages judged by rules of relevance, beside two baselines"),
    "topics page": ("topics_page", "topic pages as one HTML file"),
    "keys create": ("keys_create", "a key to the HTTP service"),
    "keys list": ("keys_list", "the keys to the HTTP service, and what each allows"),
    "keys revoke": ("keys_revoke", "refuse a key to the HTTP service from now on"),
    "events export": ("events_export", "what shoppers did, as judgements to fine-tune on"),
    "events compare": ("events_compare", "the variants of an experiment: click-through with intervals, times"),
    "events erase": ("events_erase", "forget what a client searched for and did"),
    "snapshot create": ("snapshot_create", "an index and the service's database, copied together"),
    "snapshot restore": ("snapshot_restore", "a snapshot, checked and put back"),
    "demo": ("demo", "extract, pretrain, fine-tune, evaluate and search on real images, with a page to look at"),
}
"""Words after ``interbert`` -> (module in this folder, what it does). A verb that each vision-and-language task has is
the module's for the task after the colon."""


def find_verb(words: Sequence[str]) -> tuple[str, list[str]]:
    """The verb that ``words`` begin with, and the words after it.

    Raises:
        UsageError: there is no such verb; the message names the nearest.
    """
    for count in (2, 1):
        verb = " ".join(words[:count])
        if verb in VERBS:
            return verb, list(words[count:])
    first = words[0]
    longer = group_of(first)
    if longer:
        given = f"{shortened(words[1])!r}" if len(words) > 1 and not words[1].startswith("-") else "nothing"
        there = ", ".join(f"interbert {verb}" for verb in longer)
        raise UsageError(f"{first}: say what to {first}, not {given}. There is: {there}. See: interbert {first} --help")
    words_first = list(dict.fromkeys(verb.split()[0] for verb in VERBS))
    close = difflib.get_close_matches(first, words_first, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise UsageError(f"there is no verb {shortened(first)!r}.{hint} Verbs: {', '.join(words_first)}.")


def verb_module(verb: str) -> Any:
    """Module of a verb, with ``Options`` and ``run``."""
    name, _, task = VERBS[verb][0].partition(":")
    module = import_module(f"interbert.cli.{name}")
    return module.of_task(task) if task else module


def group_of(word: str) -> list[str]:
    """The verbs that begin with a word which is no verb itself, such as ``index``."""
    return [] if word in VERBS else [verb for verb in VERBS if verb.startswith(f"{word} ")]


def group_overview(word: str) -> str:
    """What ``interbert index --help`` prints: the verbs of the group."""
    lines = "\n".join(f"usage: interbert {verb} ...\n  {VERBS[verb][1]}" for verb in group_of(word))
    return f"{lines}\n\ninterbert {word} VERB --help explains a verb."


def _lines(verbs: Sequence[str]) -> str:
    width = max(map(len, verbs))
    return "\n".join(f"  {verb:<{width}}  {VERBS[verb][1]}" for verb in verbs)


def overview() -> str:
    """What ``interbert --help`` prints."""
    lines = _lines(list(VERBS))
    return (
        "usage: interbert VERB [options]\n\n"
        "InterBERT: vision-and-language interaction for multi-modal pretraining. Images and texts in; a pretrained,\n"
        f"fine-tuned, searching model out.\n\n{lines}\n\n"
        "interbert VERB --help explains a verb. Start with: interbert demo demo"
    )
