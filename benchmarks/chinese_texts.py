"""Real Chinese titles and queries: how long they are, and what several vocabularies read as [UNK].

    python benchmarks/chinese_texts.py DATA/titles_zh --fashion DATA/fashion/train.parquet --out runs/chinese_texts

DATA/titles_zh holds product1m_dev.tsv (item_id, title, products), taobao_queries_dev.tsv (id and query, no first row of
names) and bert_base_chinese_vocab.txt. The last is read as it is published (do_lower_case false) and as `interbert
pretrain --init-from` reads it; MiniLM as it is, grown by fashion's Chinese titles, and grown by half of the real
titles; and one of 8,000 tokens at most is learnt from that half as `interbert pretrain text` learns it. Titles are
counted on the other half, queries on all of them.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from interbert.checkpoints.bert import bert_tokenizer, published_tokenizer
from interbert.checkpoints.unknown_words import unknown_words
from interbert.checkpoints.vocabulary import grow_vocabulary
from interbert.checkpoints.word_pieces import learn_word_pieces
from interbert.training.model_card import versions

_SHOWN = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the texts and the vocabulary")
    parser.add_argument("--fashion", type=Path, required=True, help="parquet file with title_zh")
    parser.add_argument("--out", type=Path, required=True, help="folder for the vocabulary and the figures")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    titles = _column(arguments.data / "product1m_dev.tsv", 1)[1:]
    queries = _column(arguments.data / "taobao_queries_dev.tsv", 1)
    known, held = titles[::2], titles[1::2]
    fashion = pq.read_table(arguments.fashion, columns=["title_zh"]).column(0).to_pylist()
    texts = {"titles": held, "queries": queries}

    print("| | n | median | mean | 5% | 95% | longest | with Latin letters | with digits |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    lengths = {name: _lengths(name, found) for name, found in {"titles": titles, "queries": queries}.items()}
    print("\n| vocabulary | tokens | [UNK], titles | with it | queries | with it | tokens a query |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    found = {}
    for name, tokenizer in _tokenizers(arguments, known, fashion).items():
        found[name] = _read(name, tokenizer, texts)
    details = {"lengths": lengths, "unknown": found, "versions": versions()}
    (arguments.out / "chinese_texts.json").write_text(
        json.dumps(details, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def _column(file: Path, column: int) -> list[str]:
    with file.open(encoding="utf-8", newline="") as opened:
        return [row[column].strip() for row in csv.reader(opened, delimiter="\t", quoting=csv.QUOTE_NONE) if row]


def _tokenizers(arguments: argparse.Namespace, known: Sequence[str], fashion: Sequence[str]) -> dict[str, Any]:
    chinese = _chinese_bert(arguments.data / "bert_base_chinese_vocab.txt", arguments.out / "bert-base-chinese")
    minilm = bert_tokenizer("minilm")
    return {
        "Chinese BERT as published": published_tokenizer(chinese),
        "Chinese BERT as read here": bert_tokenizer(chinese),
        "MiniLM": minilm,
        "MiniLM, grown by fashion's titles": grow_vocabulary(minilm, fashion, fashion[:500])[0],
        "MiniLM, grown by real titles": grow_vocabulary(minilm, known, known[:500])[0],
        "learnt from real titles": learn_word_pieces(known, 8000, 128),
    }


def _chinese_bert(vocabulary: Path, folder: Path) -> str:
    """A directory with the vocabulary and the settings that bert-base-chinese is published with."""
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_bytes(vocabulary.read_bytes())
    settings = {"do_lower_case": False, "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}), encoding="utf-8")
    return str(folder)


def _lengths(name: str, texts: Sequence[str]) -> dict[str, float]:
    """Characters of the texts."""
    lengths = np.array([len(text) for text in texts])
    latin = np.mean([any(one.isascii() and one.isalpha() for one in text) for text in texts])
    digits = np.mean([any(one.isdigit() for one in text) for text in texts])
    low, median, high = np.percentile(lengths, [5, 50, 95])
    print(
        f"| {name} | {len(texts):,} | {median:.0f} | {lengths.mean():.1f} | {low:.0f} | {high:.0f} | {lengths.max()} "
        f"| {latin:.1%} | {digits:.1%} |"
    )
    figures = {"median": median, "mean": lengths.mean(), "low": low, "high": high, "latin": latin, "digits": digits}
    return {what: float(value) for what, value in figures.items()}


def _read(name: str, tokenizer: Any, texts: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    cells, found = [], {}
    for what, ones in texts.items():
        unknown = unknown_words(tokenizer, tokenizer, ones)
        ids = tokenizer(list(ones), add_special_tokens=False)["input_ids"]
        share = sum(tokenizer.unk_token_id in row for row in ids) / len(ids)
        cells += [f"{unknown.share_after:.2%}", f"{share:.1%}"]
        words = [(one.word, one.after, *one.examples[:1]) for one in unknown.words[:_SHOWN]]
        tokens = sum(map(len, ids)) / len(ids)
        found[what] = {"unknown": unknown.share_after, "texts": share, "tokens": tokens, "words": words}
    print(f"| {name} | {len(tokenizer):,} | {' | '.join(cells)} | {found['queries']['tokens']:.1f} |")
    return found


if __name__ == "__main__":
    main()
