"""What a Chinese text side is worth to start from: `pretrain text`'s BERT, MiniLM with a grown vocabulary, or nothing.

    python benchmarks/chinese_start.py runs/fashion/regions DATA/fashion/train.parquet runs/chinese_start
    python benchmarks/chinese_start.py ... --limit 200 --text-epochs 1 --epochs 1      # whether it runs

The first folder holds region stores train, validation and test of fashion's products, as fashion_retrieval.py extracts
them; the file their title_zh. Each arm goes the same way: `interbert pretrain`'s warm start, then a dual encoder alone
(the contrast of whole batches, no joint pass), judged by validation, and the test split ranked by the best model.
`text` first pretrains a mini BERT on the training titles and whatever --more-texts names; `random` is the same BERT
before its first step. MiniLM's vocabulary grows by the titles. All rates are the same in all arms. Every part is done
once: the same command continues. The table has 95% bootstrap intervals over queries, differences paired; the last line
is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from transformers import AutoConfig, BertForMaskedLM, set_seed

from interbert.checkpoints.bert import bert_tokenizer
from interbert.checkpoints.directory import load_model, load_pretraining_model, load_processor
from interbert.data.collation import RetrievalCollator
from interbert.data.examples import PairData, TruePairs
from interbert.data.sampling import EpochBatches
from interbert.model.scoring import dual_matrix
from interbert.tasks.contrast import contrast
from interbert.tasks.metrics import best_ranks, estimates
from interbert.tasks.retrieval import RetrievalTask
from interbert.training.arguments import attention_for_training, cut_of, trainer_arguments
from interbert.training.model_card import provenance, versions
from interbert.training.options import ModelOptions, PretrainOptions, TrainingOptions
from interbert.training.pretrain import pretrain
from interbert.training.pretrain_text import pretrain_text
from interbert.training.run_setup import FINISHED, as_recipe, mark_finished, one_run, open_data
from interbert.training.text_options import PretrainTextOptions
from interbert.training.trainer import InterBertTrainer

ARMS = ("text", "minilm", "random")
_TEXT_BATCH, _BATCH = 128, 128


class DualTask(RetrievalTask):
    """The contrast of a batch's true pairs alone."""

    def losses(self, model: Any, batch: Mapping[str, Any]) -> dict[str, Any]:
        ids, mask = batch["input_ids"], batch["attention_mask"]
        text = model.pool_text(ids, mask)
        image = model.pool_image(batch["region_features"], batch["region_locations"], batch["region_mask"])
        first = model.global_token(batch["region_features"], batch["region_locations"])
        loss = contrast(model, text, image, batch["contrast_same"], model.words(ids, mask), first)
        return {"loss": loss, "contrastive_loss": loss}


def main() -> None:
    arguments = _arguments()
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    ranks, lines = {}, {}
    for arm in ARMS:
        file = out / f"{arm}.json"
        if not file.exists():
            started = time.monotonic()
            found = _run(arm, arguments, out)
            content = {"ranks": found.tolist(), "seconds": round(time.monotonic() - started, 1)}
            file.write_text(json.dumps(content) + "\n", encoding="utf-8")
        content = json.loads(file.read_text(encoding="utf-8"))
        ranks[arm], lines[arm] = np.array(content["ranks"]), {"seconds": content["seconds"]}
    _table(ranks, lines)
    print(json.dumps(lines | {"n": len(ranks["text"]), "versions": versions()}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("regions", help="folder of the stores train, validation and test")
    parser.add_argument("titles", help="parquet file with title_zh")
    parser.add_argument("out", help="folder for models and figures")
    parser.add_argument("--column", default="title_zh", help="of the titles, in the file and in the stores")
    parser.add_argument("--more-texts", nargs="*", default=[], help="further files for `pretrain text`")
    parser.add_argument("--text-epochs", type=float, default=12.0, help="passes of `pretrain text` over its texts")
    parser.add_argument("--epochs", type=float, default=3.0, help="passes of the dual encoder over the pairs")
    parser.add_argument("--learning-rate", type=float, default=2e-4, help="peak rate of the dual encoder")
    parser.add_argument("--limit", type=int, help="titles of `pretrain text`, to try it out")
    return parser.parse_args()


def _run(arm: str, arguments: argparse.Namespace, out: Path) -> NDArray[np.int64]:
    """Ranks of the best right image of every test title."""
    start = out / arm / "start"
    options = _pretraining(arguments, _bert(arm, arguments, out), str(start))
    pretrain(options)
    model = out / arm / "dual"
    with one_run(str(model)):
        _train(arguments, options, start, model)
    return _rank(arguments, model)


def _bert(arm: str, arguments: argparse.Namespace, out: Path) -> str:
    if arm == "minilm":
        return "minilm"
    text = out / "bert"
    texts = out / "titles.txt"
    if not texts.exists():
        titles = pq.read_table(arguments.titles, columns=[arguments.column]).column(0).to_pylist()[: arguments.limit]
        texts.write_text("\n".join(titles) + "\n", encoding="utf-8")
    training = TrainingOptions(
        epochs=arguments.text_epochs, batch_size=_TEXT_BATCH, learning_rate=5e-4, ema_decay=0.999
    )
    pretrain_text(PretrainTextOptions(str(texts), str(text), list(arguments.more_texts), training=training))
    return str(text) if arm == "text" else _random_bert(text, out / "random-bert")


def _random_bert(text: Path, out: Path) -> str:
    """The same BERT with the same vocabulary and random weights."""
    if not (out / FINISHED).exists():
        set_seed(0)
        bert_tokenizer(str(text)).save_pretrained(out)
        BertForMaskedLM(AutoConfig.from_pretrained(text)).save_pretrained(out)
        mark_finished(out)
    return str(out)


def _pretraining(arguments: argparse.Namespace, bert: str, out: str) -> PretrainOptions:
    """The warm start, and one step that keeps the model."""
    return PretrainOptions(
        regions=f"{arguments.regions}/train",
        validation=f"{arguments.regions}/validation",
        out=out,
        text_columns=[arguments.column],
        init_from=bert,
        model=ModelOptions(region_dropout=0.2),
        training=TrainingOptions(max_steps=1, batch_size=_BATCH, learning_rate=1e-6),
    )


def _train(arguments: argparse.Namespace, options: PretrainOptions, start: Path, out: Path) -> None:
    if (out / FINISHED).exists():
        return
    training = TrainingOptions(
        epochs=arguments.epochs, batch_size=_BATCH, learning_rate=arguments.learning_rate, ema_decay=0.998
    )
    data = open_data(options.regions, options.validation, 0.05, 500, [arguments.column], training.seed)
    set_seed(training.seed)
    out.mkdir(parents=True, exist_ok=True)
    processor = load_processor(start)
    model = load_pretraining_model(start)
    model.set_attn_implementation(attention_for_training())
    pairs = PairData(data.table, data.store, processor, training.seed, options.regions)
    batches = EpochBatches(pairs.lengths, training.batch_size, training.seed, cut_of(training), data.visits)
    texts, images = data.validation.encode(data.validation_store, processor)
    trainer = InterBertTrainer(
        model,
        trainer_arguments(training, out, len(batches), some_unused=True),
        training,
        out,
        TruePairs(pairs, lambda step: 0.0),
        batches,
        RetrievalCollator(data.table, processor.pad_token_id, contrast=True),
        DualTask(data.validation, texts, images, joint=False),
        processor,
        provenance({"training": as_recipe(training)}, data.fingerprints()),
        {"contrastive_loss": float(np.log(training.batch_size))},
        judge_start=True,
        names=data.table.texts,
    )
    trainer.train_or_resume()
    mark_finished(out)


def _rank(arguments: argparse.Namespace, directory: Path) -> NDArray[np.int64]:
    data = open_data(f"{arguments.regions}/train", f"{arguments.regions}/test", 0.05, 1_000_000, [arguments.column], 0)
    texts, images = data.validation.encode(data.validation_store, load_processor(directory))
    return best_ranks(dual_matrix(load_model(directory), texts, images), data.validation.relevant)


def _table(ranks: Mapping[str, NDArray[np.int64]], lines: dict[str, dict[str, Any]]) -> None:
    print("| start | R@1 | R@5 | R@10 | median rank | seconds |")
    print("| --- | --- | --- | --- | --- | --- |")
    for arm, found in ranks.items():
        hits = {f"r@{k}": 100.0 * (found <= k) for k in (1, 5, 10)}
        cells = []
        for name, one in estimates(hits, 1000, 0).items():
            lines[arm][name] = round(one.value, 2)
            cells.append(f"{one.value:.1f} [{one.low:.1f}, {one.high:.1f}]")
        print(f"| {arm} | {' | '.join(cells)} | {np.median(found):.0f} | {lines[arm]['seconds']:.0f} |")
    for other in ("minilm", "random"):
        gain = {f"r@{k}": 100.0 * ((ranks["text"] <= k).astype(float) - (ranks[other] <= k)) for k in (1, 5, 10)}
        cells = [f"{one.value:+.1f} [{one.low:+.1f}, {one.high:+.1f}]" for one in estimates(gain, 1000, 0).values()]
        print(f"| text less {other} | {' | '.join(cells)} | | |")


if __name__ == "__main__":
    main()
