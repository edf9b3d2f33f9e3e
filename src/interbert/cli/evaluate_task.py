"""Evaluate a fine-tuned model by the official metric of a vision-and-language task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interbert.cli.task_verbs import TaskVerb
from interbert.utils.terminal import say
from interbert.vl_tasks.options import EvaluateTaskOptions as Options

if TYPE_CHECKING:
    from interbert.vl_tasks.evaluate import Evaluation

_HELP = """Evaluate a model that was fine-tuned for {title} by the official metric, with 95% bootstrap intervals.

--text-only and --image-control mean show what is right without the image. --predictions writes the file that the
organisers take, of a blind test too. --json prints one object, every number from 0 to 1.

    interbert evaluate {name} MODEL SOURCE --regions STORE --json
"""


def of_task(name: str) -> TaskVerb:
    """The verb of a task."""
    from interbert.vl_tasks.names import TITLES

    def run(options: Options) -> None:
        import json
        from contextlib import ExitStack

        from interbert.utils.terminal import progress_bar
        from interbert.vl_tasks.evaluate import evaluate_task

        with ExitStack() as stack:
            found = evaluate_task(
                name, options, lambda rows: stack.enter_context(progress_bar("predicting", rows, "rows"))
            )
        if options.json:
            say(json.dumps(found.to_dict()))
        else:
            _print(found)
            if options.predictions is not None:
                say(f"predictions: {options.predictions}")

    return TaskVerb(_HELP.format(title=TITLES[name], name=name), Options, run)


def _print(found: Evaluation) -> None:
    from rich.box import SIMPLE

    from interbert.cli.tables import TextTable, print_table

    control = "" if found.control == "none" else f", control: {found.control.replace('_', ' ')}"
    say(f"{found.task.title}, {found.boxes} boxes{control}")
    if found.scores is not None:
        table = TextTable(box=SIMPLE, padding=(0, 2, 0, 0))
        for header in ("from 0 to 1", "value", "95% bootstrap interval"):
            table.add_column(header)
        for name, value in found.scores.to_dict().items():
            one = found.intervals.get(name)
            shown = "" if one is None else f"[{one.low:.4f}, {one.high:.4f}]"
            table.add_row(name, f"{value:.4f}" if isinstance(value, float) else str(value), shown)
        print_table(table, 100)
    if found.told is not None:
        say(found.told.told())
    if found.left_out:
        say(f"{found.left_out} {found.task.items} are left out: their images are missing")
    say(found.seen.told())
