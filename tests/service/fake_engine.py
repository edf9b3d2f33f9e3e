"""A search engine whose stages say what they computed, and stop at a gate or stumble where a test wants it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from interbert.errors import InterBertError, UsageError, VersionGone
from interbert.search.engine import SearchEngine
from interbert.search.hits import Hit
from interbert.search.query import Candidates, Encoded, Found, Part, Query
from interbert.search.versions import View

TIMEOUT = 30
RECALLED = ["a", "b", "c"]
RERANKED = ["c", "b", "a"]


def query(text: str = "a shoe", **fields: Any) -> Query:
    return Query((Part(text=text),), **fields)


class FakeEngine:
    """Recalls a, b, c and reranks them as c, b, a.

    Attributes:
        calls: stage, version and texts of each call.
        gates: of stages; a stage waits until its gate is set.
        tokens: of each image.
        version: of the newest index.
        gone: versions that are no more.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, list[str]]] = []
        self.gates = {stage: threading.Event() for stage in ("encode", "recall", "rerank", "page")}
        for gate in self.gates.values():
            gate.set()
        self.version = "products@1"
        self.gone: set[str] = set()
        self.threads: set[str] = set()
        self.tokens = np.zeros((3, 4), np.float32)
        self.encoder = SimpleNamespace(device_type="cpu")

    def called(self, stage: str) -> list[list[str]]:
        """Texts of each call of a stage."""
        return [texts for name, _, texts in self.calls if name == stage]

    def _call(self, stage: str, view: View, queries: Sequence[Query]) -> None:
        self.threads.add(threading.current_thread().name)
        self.calls.append((stage, view.version, [one.texts[0] for one in queries]))
        assert self.gates[stage].wait(TIMEOUT)
        if any(one.texts[0] == f"crash in {stage}" for one in queries):
            raise RuntimeError("out of luck")

    def pinned(self, version: str | None = None) -> View:
        wanted = version or self.version
        if wanted in self.gone:
            raise VersionGone.of(wanted)
        return cast(View, SimpleNamespace(version=wanted, encoder=self.encoder))

    def encode(self, view: View, queries: Sequence[Query]) -> list[Encoded | InterBertError]:
        self._call("encode", view, queries)
        vectors = np.zeros((1, 2), np.float32)
        bad = "not a word"
        return [UsageError(bad) if one.texts[0] == bad else Encoded(one, [[1, 2]], vectors) for one in queries]

    def recall(self, view: View, encoded: Sequence[Encoded]) -> list[Candidates | InterBertError]:
        self._call("recall", view, [one.query for one in encoded])
        if view.version in self.gone:
            return [VersionGone.of(view.version) for _ in encoded]
        hits = [Hit(0, name, product_id=name, tokens=self.tokens) for name in RECALLED]
        return [Candidates(one, hits, []) for one in encoded]

    def rerank(self, view: View, candidates: Sequence[Candidates]) -> list[Any]:
        self._call("rerank", view, [one.encoded.query for one in candidates])
        return [np.array([[RECALLED.index(hit.id) for hit in one.hits]], np.float32) for one in candidates]

    def page(self, view: View, query: Query, candidates: Candidates, scores: Any) -> Found:
        self._call("page", view, [query])
        hits = candidates.hits if scores is None else [candidates.hits[place] for place in np.argsort(-scores[0])]
        return Found(hits[query.offset : query.offset + query.top_k], len(hits), {}, view.version)

    def as_engine(self) -> SearchEngine:
        return cast(SearchEngine, self)
