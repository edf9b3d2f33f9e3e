"""Pretrain a BERT on texts alone, from nothing: masked segments of titles and queries.

OUT is a BERT directory that `interbert pretrain --init-from` takes as it is, and with it every library that reads
BERTs: a start for a language of which no BERT is at hand. The vocabulary is learnt from the texts, or given. Each
text counts once, however often it comes. The same command continues a stopped run; `interbert report OUT` draws it.

    interbert pretrain text titles.txt models/text --more-sources queries.txt
    interbert pretrain text 'shards/train-*.parquet' models/text --text-columns title --vocabulary vocab.txt
"""

from __future__ import annotations

from interbert.training.text_options import PretrainTextOptions as Options
from interbert.utils.terminal import say


def run(options: Options) -> None:
    """Pretrain."""
    from interbert.training.pretrain_text import pretrain_text

    pretrain_text(options)
    say(f"model: {options.out}")


__all__ = ["Options", "run"]
