"""Judgements from what shoppers did: how right a product is for a query.

The grade of a product for a query is the most that shoppers did with it after a search for that query: 3 bought, 2 put
into the cart, 1 clicked. It is 0, judged and wrong, when it was passed over: shown above a product that was taken, and
never taken itself. That is "click > skip above" of Joachims et al. (SIGIR 2005). Nothing is judged that stands below
the last product taken: shoppers may not have looked there, so a low rank is no sign of a wrong product. What was shown
where is known from ``view`` events with a rank; without them there are no grades of 0.

Searches whose texts differ by case and spaces alone are one query, as :mod:`interbert.data.qrels` has it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from interbert.service.state.models import EventModel, QueryModel
from interbert.service.state.records import Judgement, Judgements

GRADES = {"click": 1, "cart": 2, "purchase": 3}
"""Kind of event -> grade; a view alone says nothing."""
_BATCH = 5000


def judge(session: Session, index: str | None, since: datetime | None, min_searches: int) -> Judgements:
    """All judgements of an index (None: all) from searches since a moment (None: ever).

    ``min_searches`` searches have to give a pair its sign, taken or passed over; other pairs are left out and counted.
    """
    rows: list[Judgement] = []
    left_out = _left_out(session, index, since)
    few = 0
    for _, events in groupby(_joined(session, index, since), key=lambda event: event.normal_text):
        for judgement in _of_query(events):
            if judgement.searches >= min_searches:
                rows.append(judgement)
            else:
                few += 1
    left_out[f"pairs of fewer than {min_searches} searches"] = few
    return Judgements(rows, {reason: count for reason, count in left_out.items() if count})


def _joined(session: Session, index: str | None, since: datetime | None) -> Iterator[Any]:
    query = (
        select(
            QueryModel.normal_text,
            QueryModel.text,
            EventModel.query_id,
            EventModel.product_id,
            EventModel.kind,
            EventModel.rank,
        )
        .join(QueryModel, QueryModel.id == EventModel.query_id)
        .where(QueryModel.normal_text.is_not(None), *_of(index, since))
        .order_by(QueryModel.normal_text, EventModel.query_id, EventModel.number)
    )
    yield from session.execute(query.execution_options(yield_per=_BATCH))


def _of(index: str | None, since: datetime | None) -> Iterator[Any]:
    if index is not None:
        yield QueryModel.index_name == index
    if since is not None:
        yield QueryModel.at >= since


def _of_query(events: Iterable[Any]) -> Iterator[Judgement]:
    """Judgements of all searches for one query, by product."""
    spelled: Counter[str] = Counter()
    grades: defaultdict[str, int] = defaultdict(int)
    taken_in: Counter[str] = Counter()
    passed_in: Counter[str] = Counter()
    for _, search in groupby(events, key=lambda event: event.query_id):
        done = list(search)
        spelled[done[0].text] += 1
        taken = {event.product_id: 0 for event in done if event.kind in GRADES}
        for event in done:
            if event.kind in GRADES:
                grades[event.product_id] = max(grades[event.product_id], GRADES[event.kind])
        taken_in.update(taken.keys())
        passed_in.update(_passed_over(done, taken.keys()))
    text = max(spelled, key=lambda one: (spelled[one], one))
    for product in sorted(taken_in):
        yield Judgement(text, product, grades[product], taken_in[product])
    for product in sorted(passed_in.keys() - taken_in.keys()):
        yield Judgement(text, product, 0, passed_in[product])


def _passed_over(events: Iterable[Any], taken: Iterable[str]) -> set[str]:
    """Products that one search showed above the last that was taken."""
    events, taken = list(events), set(taken)
    ranks = [event.rank for event in events if event.kind in GRADES and event.rank is not None]
    lowest = max(ranks, default=0)
    return {
        event.product_id
        for event in events
        if event.kind == "view" and event.rank is not None and event.rank < lowest and event.product_id not in taken
    }


def _left_out(session: Session, index: str | None, since: datetime | None) -> dict[str, int]:
    """Events that are no evidence, by reason; of unknown searches nobody knows the index, so they count for each."""
    telling = EventModel.kind.in_(list(GRADES))
    count = select(func.count()).select_from(EventModel).where(telling)
    recent = () if since is None else (EventModel.at >= since,)
    no_query = count.where(EventModel.query_id.is_(None), *recent)
    known = select(QueryModel.id).where(QueryModel.id == EventModel.query_id).exists()
    unknown = count.where(EventModel.query_id.is_not(None), ~known, *recent)
    joined = count.join(QueryModel, QueryModel.id == EventModel.query_id)
    no_text = joined.where(QueryModel.normal_text.is_(None), *_of(index, since))
    return {
        "events without a query": session.scalar(no_query) or 0,
        "events of a query that is not known (never seen, expired or erased)": session.scalar(unknown) or 0,
        "events of a query without a text (an image or a product)": session.scalar(no_text) or 0,
    }
