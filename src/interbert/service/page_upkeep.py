"""Keeps the pages of one index's topics right: looks whether a page's evidence changed, makes it anew, writes it.

A page that comes out as it was is not written again, and nothing is logged of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from interbert.errors import DataError, UsageError, VectorIndexError
from interbert.search.engine import SearchEngine
from interbert.search.index import ProductIndex
from interbert.service.errors import ServiceError
from interbert.service.metrics import Metrics
from interbert.service.page_changes import Sides, page_changes
from interbert.service.page_making import NOT_BEGUN, NOT_PUBLISHED, MadePage, closed, made_page
from interbert.service.state import State
from interbert.service.state.records import Page, TopicRow
from interbert.topics.recommend import TopicRecommender

_FORMAT = 1
"""Of how pages are made: raised when the same evidence gives other pages."""


class Evidence(NamedTuple):
    """What a page depends on."""

    version: str
    """Of the index."""
    model: str
    """The model, and what it was taught of topics."""
    topic: str
    """The topic's revision, and why it has no page now."""

    def __str__(self) -> str:
        return " ".join(self)


@dataclass
class Pass:
    """What a pass over the topics did."""

    untouched: int = 0
    """Topics whose evidence is as it was: not looked at."""
    same: int = 0
    """Pages made again that came out as they were: not written."""
    written: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    """Topic -> why its page cannot be made; it keeps the one that it has."""


class PageUpkeep:
    """Pages of one index's topics; for one thread at a time, but for ``seen`` and ``problems``, which any may read.

    Args:
        index_name: as the service calls it.
        engine: of the index.
        state: where topics and pages are kept.
        metrics: counts pages by what became of them.
        clock: the time.
    """

    def __init__(
        self, index_name: str, engine: SearchEngine, state: State, metrics: Metrics, clock: Callable[[], datetime]
    ) -> None:
        self._name, self._engine, self._state, self._metrics, self._clock = index_name, engine, state, metrics, clock
        self._recommender: TopicRecommender | None = None
        self.seen: dict[str, Evidence] = {}
        """Of each topic, what its page was last made from, or could not be made from."""
        self.problems: dict[str, str] = {}
        """Of topics whose page cannot be made, the reason."""

    def current(self) -> tuple[TopicRecommender, str]:
        """What makes pages of the newest version of the index, and that version.

        Raises:
            UsageError: the engine has no index, or its model cannot make topic pages.
            VectorIndexError: the index cannot be read now.
        """
        view = self._engine.pinned(None)
        if self._recommender is None:
            self._recommender = TopicRecommender(self._engine)
        self._recommender.use(view.index, view.encoder)
        return self._recommender, view.version

    def basis(self) -> tuple[str, str]:
        """Evidence that all topics share: the index's version and the model's.

        Raises:
            As :meth:`current`.
        """
        recommender, version = self.current()
        return version, _model(recommender)

    def evidence(self, topic: TopicRow, basis: tuple[str, str]) -> Evidence:
        """What the topic's page is to be made from."""
        return Evidence(*basis, f"{topic.revision} {topic.updated_at} {closed(topic, self._clock())}")

    def forget_others(self, topics: Collection[str]) -> None:
        """Forget topics that are no more."""
        for name in {*self.seen, *self.problems} - {*topics}:
            self.seen.pop(name, None)
            self.problems.pop(name, None)

    def look(self, topic: TopicRow, done: Pass) -> None:
        """Bring one page up to date; a topic whose page cannot be made keeps the one that it has.

        Raises:
            ServiceError: ``state_unavailable``.
            UsageError, VectorIndexError: as :meth:`current`.
        """
        recommender, version = self.current()
        evidence = self.evidence(topic, (version, _model(recommender)))
        before = self._state.topics.page(self._name, topic.id)
        if before is not None and before.evidence == str(evidence):  # of an earlier run of the service
            self._note(topic, evidence, "untouched", done)
            return
        why = closed(topic, self._clock())
        try:
            made = MadePage([], [f"The page is empty: {why}."]) if why else made_page(recommender, topic)
        except VectorIndexError:  # of all topics: tried again
            raise
        except (ServiceError, UsageError, DataError) as error:
            self._note(topic, evidence, "failed", done, str(error))
            return
        same = before is not None and (before.items, before.notes, before.closed) == (made.items, made.notes, why)
        if not same:
            self._write(topic, before, made, why, evidence, recommender.index)
        self._note(topic, evidence, "same" if same else "written", done)

    def _write(
        self,
        topic: TopicRow,
        before: Page | None,
        made: MadePage,
        why: str | None,
        evidence: Evidence,
        index: ProductIndex,
    ) -> None:
        """Keep a page and what changed on it, in one step."""
        former = None if before is None else self._former(topic.id, before)
        sides = Sides(
            topic, [] if before is None else before.items, made, why, index, former, _opened(before, evidence.version)
        )
        self._state.topics.save_page(
            self._name,
            topic.id,
            evidence.version,
            made.items,
            page_changes(sides, self._clock()),
            revision=topic.revision,
            notes=made.notes,
            closed=why,
            evidence=str(evidence),
            former=before,
        )

    def _former(self, topic_id: str, before: Page) -> ProductIndex | None:
        """The index that a page was right for last; None when that version is gone."""
        seen = self.seen.get(topic_id)
        with contextlib.suppress(VectorIndexError, UsageError):
            index = self._engine.pinned(before.index_version if seen is None else seen.version).index
            return index if isinstance(index, ProductIndex) else None
        return None

    def _note(self, topic: TopicRow, evidence: Evidence, result: str, done: Pass, problem: str | None = None) -> None:
        """Keep in mind what became of a topic."""
        self.seen[topic.id] = evidence
        self._metrics.topic_pages.labels(self._name, result).inc()
        if problem is None:
            self.problems.pop(topic.id, None)
            setattr(done, result, getattr(done, result) + 1)
        else:
            self.problems[topic.id] = done.problems[topic.id] = problem


def _model(recommender: TopicRecommender) -> str:
    memory = "untaught" if recommender.memory is None else recommender.memory.fingerprint
    return f"{_FORMAT} {recommender.index.manifest.model_fingerprint} {memory}"


def _opened(before: Page | None, version: str) -> str | None:
    """What explains that products came, beside the products themselves: a first page, its time, another index."""
    if before is None:
        return "the topic's first page"
    if before.closed is not None:
        begun = {NOT_PUBLISHED: "the topic was published", NOT_BEGUN: "its valid time has begun"}
        return begun.get(before.closed, "the topic is shown again")
    built_anew = before.index_version.rpartition("@")[0] != version.rpartition("@")[0]
    return "the index was built anew" if built_anew else None
