"""Does the model stay good at texts alone? A BERT, an InterBERT made from it, and one pretrained on images and texts.

    python benchmarks/single_modal.py --train train.jsonl --validation dev.jsonl --test test.jsonl \\
        --pretrained runs/fashion/pretrained --out runs/single_modal

The files have the columns sentence and label (Stanford Sentiment, binary, full sentences). Three arms get the same
recipe, order of batches and seeds: (a) the BERT through transformers, (b) InterBERT initialised from it, (c) the
pretrained model. The epoch with the best validation accuracy is tested. Prints accuracy with intervals and the paired
bootstrap of (a) - (c) over test sentences and seeds; the paper's claim of no significant loss stands here when the
upper bound is under 1.5 points. Resumable: each run's answers are kept in --out. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, set_seed

from interbert.checkpoints.bert import bert_tokenizer, config_for_bert, initialise_from_bert, resolve_bert
from interbert.checkpoints.directory import load_classifier, load_processor
from interbert.data.sampling import EpochBatches
from interbert.model.modeling import InterBertForSequenceClassification
from interbert.model.processing import pad_texts
from interbert.model.scoring import autocast
from interbert.training.model_card import versions
from interbert.utils.transformers_logging import quiet_transformers

ARMS = {"a": "the BERT, transformers", "b": "InterBERT from it", "c": "pretrained InterBERT"}
CLAIM = 1.5
MOST_TOKENS = 128

Arm = tuple[nn.Module, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for split in ("train", "validation", "test"):
        parser.add_argument(f"--{split}", required=True, help="jsonl file")
    parser.add_argument("--pretrained", required=True, help="model directory of arm (c)")
    parser.add_argument("--bert", default="minilm", help="the BERT that (c) was started from")
    parser.add_argument("--out", required=True, help="folder for the answers of each run")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    arguments = parser.parse_args()
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    data = {split: _read(getattr(arguments, split)) for split in ("train", "validation", "test")}
    relevant: dict[str, list[NDArray[np.bool_]]] = {arm: [] for arm in ARMS}
    for seed in range(arguments.seeds):
        for arm in ARMS:
            file = out / f"{arm}-{seed}-{arguments.epochs}-{arguments.batch_size}-{arguments.learning_rate:g}.npy"
            if not file.exists():
                started = time.monotonic()
                set_seed(seed)
                model, tokenizer = _arm(arm, arguments)
                answers, best = _train(model, tokenizer, data, arguments, seed)
                np.save(file, answers)
                print(
                    f"{ARMS[arm]}, seed {seed}: validation {best:.2f}, test {answers.mean() * 100:.2f} "
                    f"({time.monotonic() - started:.0f} s)",
                    flush=True,
                )
            relevant[arm].append(np.load(file))
    _report(relevant)


def _read(path: str) -> tuple[list[str], NDArray[np.int64]]:
    rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    return [row["sentence"] for row in rows], np.array([row["label"] for row in rows])


def _arm(arm: str, arguments: argparse.Namespace) -> Arm:
    if arm == "a":
        with quiet_transformers():
            model = AutoModelForSequenceClassification.from_pretrained(resolve_bert(arguments.bert), num_labels=2)
        return model, bert_tokenizer(arguments.bert)
    if arm == "c":
        return load_classifier(arguments.pretrained, ["0", "1"]), load_processor(arguments.pretrained).tokenizer
    tokenizer = bert_tokenizer(arguments.bert)
    like = load_classifier(arguments.pretrained, ["0", "1"]).config
    config = config_for_bert(
        arguments.bert,
        vocab_size=len(tokenizer),
        region_feature_size=like.region_feature_size,
        pooler_size=like.pooler_size,
        num_labels=2,
    )
    ours = InterBertForSequenceClassification(config)
    initialise_from_bert(ours, arguments.bert)
    return ours, tokenizer


def _train(
    model: nn.Module, tokenizer: Any, data: dict[str, Any], arguments: argparse.Namespace, seed: int
) -> tuple[NDArray[np.bool_], float]:
    """Which test sentences the best epoch gets right, and its validation accuracy."""
    ids = {split: _ids(tokenizer, texts) for split, (texts, _) in data.items()}
    labels = {split: values for split, (_, values) in data.items()}
    batches = EpochBatches([len(one) for one in ids["train"]], arguments.batch_size, seed)
    steps = arguments.epochs * len(batches)
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    plain = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=arguments.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, 10 * (step + 1) / steps) * (1 - step / steps)
    )
    best, answers = -1.0, np.zeros(len(ids["test"]), dtype=np.bool_)
    for epoch in range(arguments.epochs):
        model.train()
        batches.set_epoch(epoch)
        for batch in batches:
            rows = [key.pair for key in batch]
            with autocast(model):
                logits = model(**pad_texts([ids["train"][row] for row in rows])).logits
            loss = nn.functional.cross_entropy(logits.float(), torch.from_numpy(labels["train"][rows]))
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        accuracy = float(_relevant(model, ids["validation"], labels["validation"]).mean() * 100)
        if accuracy > best:
            best, answers = accuracy, _relevant(model, ids["test"], labels["test"])
    return answers, best


def _ids(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    return [list(ids) for ids in tokenizer(texts, truncation=True, max_length=MOST_TOKENS)["input_ids"]]


@torch.no_grad()
def _relevant(model: nn.Module, ids: list[list[int]], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    model.eval()
    order = np.argsort([len(one) for one in ids], kind="stable")
    found = np.empty(len(ids), dtype=np.int64)
    forward: Callable[..., Any] = model
    for start in range(0, len(order), 64):
        chosen = order[start : start + 64]
        with autocast(model):
            logits: Tensor = forward(**pad_texts([ids[index] for index in chosen])).logits
        found[chosen] = logits.float().argmax(dim=1).numpy()
    relevant: NDArray[np.bool_] = found == labels
    return relevant


def _report(relevant: dict[str, list[NDArray[np.bool_]]], draws: int = 10_000) -> None:
    """Accuracy of each arm, and (a) - (c) with seeds and sentences drawn anew in pairs."""
    table = {arm: np.stack(answers) * 100.0 for arm, answers in relevant.items()}
    generator = np.random.default_rng(0)
    seeds, sentences = table["a"].shape
    means: dict[str, list[float]] = {arm: [] for arm in table}
    for _ in range(draws):
        rows, columns = generator.integers(0, seeds, seeds), generator.integers(0, sentences, sentences)
        for arm, values in table.items():
            means[arm].append(float(values[np.ix_(rows, columns)].mean()))
    line: dict[str, Any] = {"seeds": seeds, "n": sentences}
    for arm, values in table.items():
        low, high = np.percentile(means[arm], [2.5, 97.5])
        print(f"({arm}) {ARMS[arm]:<24} {values.mean():.2f} [{low:.2f}, {high:.2f}]")
        line[arm] = round(float(values.mean()), 2)
    for first, second in (("a", "b"), ("a", "c")):
        difference = np.array(means[first]) - np.array(means[second])
        low, high = np.percentile(difference, [2.5, 97.5])
        mean = table[first].mean() - table[second].mean()
        print(f"({first}) - ({second}) {mean:.2f} [{low:.2f}, {high:.2f}]")
        line[f"{first}-{second}"] = [round(float(value), 2) for value in (mean, low, high)]
    line["claim_stands"] = bool(line["a-c"][2] < CLAIM)
    line["versions"] = versions()
    print(json.dumps(line))


if __name__ == "__main__":
    main()
