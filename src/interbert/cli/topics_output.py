"""What the verbs of topics open and print."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from rich.box import SIMPLE

from interbert.cli.tables import TextTable, print_table
from interbert.errors import FilterError
from interbert.search.index import ProductIndex
from interbert.search.suggestions import filter_notes
from interbert.topics.evaluation import TopicReport
from interbert.topics.page_builder import Refresh
from interbert.topics.recommend import TopicRecommender
from interbert.topics.topic_file import Topic
from interbert.utils.terminal import say

_SHOWN = 5


def open_recommender(index: str, model: str | None, examples: str | None) -> TopicRecommender:
    """An index with its model and what that was taught of topics; a note when it was not taught."""
    recommender = TopicRecommender.open(index, model, examples)
    if recommender.memory is None:
        say(
            "note: the model was not taught topics, so pages are full and ranked by the dual encoder alone, without "
            "probabilities. Teach it with: interbert topics learn MODEL REGIONS; then give --examples MODEL"
        )
    return recommender


def print_refresh(path: str, done: Refresh, topics: int) -> None:
    """What a build did."""
    counts = [
        (done.written, "written"),
        (done.same, "looked at and the same"),
        (done.untouched, "not looked at, as nothing changed"),
        (done.removed, "removed"),
    ]
    told = ", ".join(f"{count} {what}" for count, what in counts if count) or "nothing to do"
    say(f"{path}: {topics} topics: {told}; {done.items} items")
    if done.note:
        say(f"note: {done.note}")
    for name, reason in list(done.empty.items())[:_SHOWN]:
        say(f"topic {name}: its page is empty: {reason}")
    if len(done.empty) > _SHOWN:
        say(f"and {len(done.empty) - _SHOWN} more empty pages; {path}/pages and the HTML page say why")
    for name, note in list(done.doubtful.items())[:_SHOWN]:
        say(f"topic {name}: {note}")
    if len(done.doubtful) > _SHOWN:
        say(f"and {len(done.doubtful) - _SHOWN} more such pages; the HTML page says so above each")
    for name, problem in done.problems[:_SHOWN]:
        say(f"topic {name}: {'its page stays as it was' if name in done.kept else 'has no page'}: {problem}")
    if len(done.problems) > _SHOWN:
        say(f"and {len(done.problems) - _SHOWN} more, all of them in {path}/topics.json")


def print_filter_notes(index: ProductIndex, topics: Sequence[Topic]) -> None:
    """What to know of the filters of topics without an item, such as values that no product has, a line each."""
    for where in dict.fromkeys(topic.where for topic in topics):
        with contextlib.suppress(FilterError):  # told beside its topic
            for note in filter_notes(index, where):
                say(f"filter {str(where)[:60]}: {note}")


def print_topic_report(name: str, report: TopicReport) -> None:
    """Every method's means, as a table."""
    left = f", {len(report.left_out)} without relevant products left out" if report.left_out else ""
    title = f"{name}: {report.judged} topics over {report.products:,} products{left}"
    caption = "shown, wrong: of the first 10; coverage: products in some topic's first 20; diversity: 1 - mean cosine"
    table = TextTable(title=title, caption=caption, box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("")
    for column in ("P@10", "nDCG@20", "shown", "wrong", "coverage", "diversity"):
        table.add_column(column, justify="right")
    for method, one in report.methods.items():
        table.add_row(
            method,
            f"{one.precision_at_10:.3f}",
            f"{one.ndcg_at_20:.3f}",
            f"{one.shown:.1f}",
            f"{one.wrong:.1f}",
            f"{100 * one.coverage:.1f}%",
            f"{one.diversity:.3f}",
        )
    print_table(table)
