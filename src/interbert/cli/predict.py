"""Predict the rows of a table by a classifier, or by a model of a vision-and-language task.

FILE is a csv, jsonl or parquet file. Of each row its answer and the most probable answers are written, with their
probabilities, to a .jsonl, .csv or .parquet file. Leaderboards' files come from interbert evaluate TASK --predictions.

    interbert predict models/tone reviews.csv tones.csv --text sentence
    interbert predict models/kind products.parquet kinds.jsonl --image-column image
    interbert predict models/vqa questions.csv answers.jsonl --text question --image-column image_id \\
        --regions coco.store
"""

from __future__ import annotations

from interbert.utils.terminal import say
from interbert.vl_tasks.options import PredictOptions as Options


def run(options: Options) -> None:
    """Read, predict, write."""
    from contextlib import ExitStack

    from interbert.utils.terminal import progress_bar
    from interbert.vl_tasks.predict import predict_table

    with ExitStack() as stack:
        count = predict_table(options, lambda rows: stack.enter_context(progress_bar("predicting", rows, "rows")))
    say(f"{count} predictions: {options.out}")


__all__ = ["Options", "run"]
