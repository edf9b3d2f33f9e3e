"""Write what shoppers did as judgements, which `interbert finetune retrieval --qrels` takes as they are.

The grade of a product for a query is the most that was done with it after a search for that query: 3 bought, 2 put
into the cart, 1 clicked. Grade 0, judged and wrong, has what was passed over: shown above a product that was taken,
and never taken itself; that takes `view` events with ranks. Nothing below the last product taken is judged, since
shoppers may not have looked there. Queries that differ by case and spaces alone are one.

    interbert events export clicks.tsv --state service
    interbert events export clicks.jsonl --index fashion --days 90 --min-clicks 2 --state service
    interbert finetune retrieval models/pretrained regions/train models/shop --qrels clicks.tsv

The file has no ids of clients, but the texts that they typed.
"""

from __future__ import annotations

from dataclasses import dataclass

from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert events export``."""

    out: str
    """File to write: .tsv or .jsonl."""
    state: str | None = None
    """Folder of the service's state."""
    database: str | None = None
    """URL of the service's database, in place of the folder."""
    index: str | None = None
    """Name of the index whose searches count; all when not given."""
    days: float | None = None
    """Searches of the last days alone; all that are kept when not given."""
    min_clicks: int = 1
    """Searches that have to say the same about a query and a product: that it was taken, or passed over."""


def run(options: Options) -> None:
    """Write the file, and say what is in it and what is not."""
    from collections import Counter

    from interbert.cli.service_state import opened_state
    from interbert.errors import UsageError, require_range
    from interbert.service.judgement_file import require_judgement_file, write_judgements

    require_range("events export: --min-clicks", options.min_clicks, 1)
    require_range("events export: --days", options.days, 0, 36_525)
    require_judgement_file(options.out)
    with opened_state(options.state, options.database) as state:
        found = state.events.judgements(options.index, options.days, options.min_clicks)
        where = state.name
    written, left_out = write_judgements(options.out, found)
    for reason, count in left_out.items():
        say(f"  left out: {count} {reason}")
    if not written:
        raise UsageError(
            f"{where}: no search was followed by a click, so {options.out} is not written. Send events with the "
            "query_id of the answer to POST /v1/events, or widen --days, --index and --min-clicks."
        )
    grades = Counter(one.grade for one in written)
    named = ((3, "bought"), (2, "in the cart"), (1, "clicked"), (0, "passed over"))
    told = ", ".join(f"{grades[grade]} {name}" for grade, name in named if grades[grade])
    queries, products = len({one.query for one in written}), len({one.product_id for one in written})
    say(f"{options.out}: {len(written)} judgements of {queries} queries and {products} products: {told}")
