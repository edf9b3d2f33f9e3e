"""What full text looks for: a text's terms, and its synonyms beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_SYNONYM_BOOST = 0.5
"""What a synonym counts beside the words that were typed."""


@dataclass(frozen=True)
class Words:
    """A text with synonyms of what it says."""

    text: str
    synonyms: tuple[str, ...] = ()
    """A title has to have all words of one for it to count."""


def full_text_query(text: str | Words, terms: Callable[[str], str]) -> Any:
    """The database's query for a text; None where it holds no term.

    Args:
        text: with synonyms or without.
        terms: makes terms of a wording, separated by spaces.
    """
    from lancedb.query import BooleanQuery, FullTextOperator, MatchQuery, Occur

    given = Words(text) if isinstance(text, str) else text
    words, others = terms(given.text), filter(None, map(terms, given.synonyms))
    queries = [MatchQuery(words, "fulltext")] if words else []
    queries += [MatchQuery(one, "fulltext", boost=_SYNONYM_BOOST, operator=FullTextOperator.AND) for one in others]
    if len(queries) < 2:
        return queries[0] if queries else None
    return BooleanQuery([(Occur.SHOULD, one) for one in queries])
