"""The words of a search as they are searched: corrected and with synonyms, and the same on every page of a ranking."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi.concurrency import run_in_threadpool

from interbert.errors import UsageError
from interbert.search.rewriting import QueryRewriter, Rewritten
from interbert.search.synonyms import Synonyms
from interbert.service.schemas.search import QueryPart, Replacement, Rewrite

_log = logging.getLogger(__name__)

Wordings = dict[int, Rewritten]
"""Of the text parts of a query, by place."""


class SynonymsFile:
    """A merchant's file of synonyms, read again whenever it changes.

    Args:
        path: of the file.

    Raises:
        UsageError: it is missing, too large, or a line is wrong, which is named.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._stamp = self._look()
        self.synonyms = Synonyms.read(path)

    def changed(self) -> bool:
        """Read the file where it changed; of a wrong one the log tells, and the synonyms before stay."""
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self.synonyms = Synonyms.read(self._path)
        except UsageError as error:
            _log.error("%s The synonyms before stay.", error)
            return False
        _log.info("%s: read again", self._path)
        return True

    def _look(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size


async def wordings_of(
    rewriter: QueryRewriter | None, parts: Sequence[QueryPart], spelling: bool, kept: Sequence[Any] | None
) -> Wordings:
    """What is searched for the texts of a query.

    Args:
        rewriter: of the index; None searches for the words as typed.
        parts: of the query.
        spelling: correct wrong letters.
        kept: of a page after the first, what :func:`kept_in_cursor` gave on the first: titles may have other words by
            now, and another text would be another ranking.
    """
    texts = {place: part.text for place, part in enumerate(parts) if part.text is not None and part.text.strip()}
    if kept is not None:
        return {
            int(place): Rewritten(texts[int(place)], str(text), synonyms=tuple(map(str, synonyms)))
            for place, text, synonyms in kept
            if int(place) in texts
        }
    if rewriter is None or not texts:
        return {}

    def rewrite() -> Wordings:
        return {place: rewriter.rewrite(text, spelling=spelling) for place, text in texts.items()}

    found = await run_in_threadpool(rewrite)
    return {place: one for place, one in found.items() if one.text != texts[place] or one.synonyms}


def kept_in_cursor(wordings: Wordings) -> list[Any]:
    """The searched words as they are kept for the pages after the first."""
    return [[place, one.text, list(one.synonyms)] for place, one in wordings.items()]


def rewrites_of(wordings: Wordings) -> list[Rewrite]:
    """What was changed, as it is sent."""
    return [
        Rewrite.model_construct(
            typed=one.typed,
            searched=one.text,
            corrections=[Replacement.model_construct(typed=typed, searched=other) for typed, other in one.corrections],
            wordings=[Replacement.model_construct(typed=typed, searched=other) for typed, other in one.wordings],
            synonyms=list(one.synonyms),
        )
        for one in wordings.values()
    ]
