"""Fine-tune a pretrained model to rank images for a text: four pairs per positive, averaged weights.

Hard negatives are mined with the model's own dual encoder. The same command continues a stopped run. --qrels trains on
judgements or clicks: each query with every product that is right for it.

    interbert finetune retrieval models/pretrained regions/train models/retrieval --validation regions/validation
    interbert finetune retrieval models/pretrained regions/train models/shop --qrels clicks.tsv
"""

from __future__ import annotations

from interbert.training.options import FinetuneRetrievalOptions as Options
from interbert.utils.terminal import say


def run(options: Options) -> None:
    """Fine-tune."""
    from interbert.training.finetune import finetune_retrieval

    finetune_retrieval(options)
    say(f"model: {options.out}")


__all__ = ["Options", "run"]
