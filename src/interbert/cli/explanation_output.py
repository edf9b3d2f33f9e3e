"""What ``interbert explain`` prints."""

from __future__ import annotations

from interbert.cli.tables import TextTable, print_table
from interbert.explain import Explanation
from interbert.utils.templating import format_probability
from interbert.utils.terminal import say

NOT_COUNTED = (
    "this model does not read jointly: it ranks by the dual score alone, which words and regions do not explain"
)


def print_explanation(found: Explanation) -> None:
    """Print what was removed, its relevance, and the score without it."""
    title = f"{found.text}: {format_probability(found.probability)}, logit difference {found.logit_difference:+.2f}"
    table = TextTable(title=title)
    for name in ("removed", "relevance", "score without", "change"):
        table.add_column(name, justify="left" if name == "removed" else "right")
    rows = [(found.words[place].text, found.words[place]) for place in found.top_words()]
    for place in found.top_regions():
        left, top, right, bottom = (round(100 * side) for side in found.regions[place].box)
        rows.append((f"region {place + 1}: {left}-{right}% x {top}-{bottom}%", found.regions[place]))  # type: ignore[arg-type]
    for name, one in rows:
        assert one.score_without is not None
        change = f"{one.score_without - found.logit_difference:+.2f}"
        table.add_row(name, f"{100 * one.relevance:.1f}%", f"{one.score_without:+.2f}", change)
    print_table(table)
    special = sum(share for _, share in found.special)
    say(f"global token {100 * found.global_relevance:.1f}%, special tokens {100 * special:.1f}% of all relevance")
    if found.dual_score is not None:
        said = f"the dual score adds {found.dual_score:+.2f}" if found.counts else NOT_COUNTED
        say(f"the score that is explained is the joint pass's; {said}")
    if found.unread:
        say(f"too long, not read: {found.unread}")
