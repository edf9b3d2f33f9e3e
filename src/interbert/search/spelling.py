"""Spelling by the catalogue's own words: a word that is in no title becomes the title's word that is one letter off.

Words that full text finds (also by their stems) or that the model reads whole are right; so is all with a digit.
"""

from __future__ import annotations

from typing import Any

import regex

from interbert.errors import MissingExtraError
from interbert.search.index import ProductIndex

try:
    from rapidfuzz import process
    from rapidfuzz.distance import OSA
except ImportError as missing:
    raise MissingExtraError.of("rapidfuzz", "search") from missing

SHORTEST = 4
"""Letters of a word that is corrected."""
_LONG = 8
"""Letters of a word that may have two wrong ones."""
_ANY_LETTER = 6
"""Letters of a word whose first one may be wrong."""
_LATIN = regex.compile(r"[\p{Latin}']+")
_LATIN_TERM = r"^\p{Latin}[\p{Latin}']{2,}$"
"""Of the database's regular expressions (RE2)."""
_MOST_TERMS = 200_000
"""Different words that are kept, those with the highest counts; a million titles have fewer (docs/search.md)."""
_ROWS_AT_ONCE = 50_000


class Vocabulary:
    """Words of a catalogue's titles, with how many times each occurs.

    Args:
        counts: by word, in lower case.
    """

    def __init__(self, counts: dict[str, int]) -> None:
        self.counts = counts
        self._of_length: dict[int, list[str]] = {}
        for word in sorted(counts, key=lambda word: (-counts[word], word)):
            self._of_length.setdefault(len(word), []).append(word)

    @classmethod
    def of(cls, index: ProductIndex) -> Vocabulary:
        """Count the words of an index's titles that have Latin letters alone; none of an index before terms.

        Raises:
            VectorIndexError: the index is damaged.
        """
        import pyarrow as pa

        counted = pa.table({"word": pa.array([], pa.string()), "count": pa.array([], pa.int64())})
        if index.counts_terms():
            for batch in index.scan(["fulltext"], _ROWS_AT_ONCE):
                counted = pa.concat_tables([counted, _latin_words(batch["fulltext"])])
                if len(counted) > 4 * _MOST_TERMS:
                    counted = _most_frequent(counted)
        counted = _most_frequent(counted)
        return cls(dict(zip(counted["word"].to_pylist(), counted["count"].to_pylist(), strict=True)))

    def __len__(self) -> int:
        """Number of different words."""
        return len(self.counts)

    def __contains__(self, word: object) -> bool:
        """Whether a title has this word."""
        return word in self.counts

    def closest(self, word: str) -> str | None:
        """The word with the fewest edits and, of these, the highest count; None where every word needs too many.

        An edit is a letter more, less or other, or two neighbours changed over (optimal string alignment). One is let
        through, and two in words of eight letters or more. In words of four or five the first letter is taken to be
        right, or changed over with the second, since too many short words differ in it alone (fine, wine, vine).
        """
        most = 2 if len(word) >= _LONG else 1
        found: list[tuple[int, int, str]] = []
        for length in range(len(word) - most, len(word) + most + 1):
            choices = self._of_length.get(length, [])
            near = process.extract(word, choices, scorer=OSA.distance, score_cutoff=most, limit=None)
            found += [
                (int(edits), -self.counts[other], other)
                for other, edits, _ in near
                if len(word) >= _ANY_LETTER or other[0] == word[0] or other[:2] == word[1::-1]
            ]
        return min(found)[2] if found else None


def can_be_corrected(word: str) -> bool:
    """Whether a word is long enough and of Latin letters alone."""
    return len(word) >= SHORTEST and _LATIN.fullmatch(word) is not None


def full_text_finds(index: ProductIndex, term: str) -> bool:
    """Whether a title has this term or another with the same stem.

    Raises:
        VectorIndexError: the index is damaged.
    """
    from lancedb.query import MatchQuery

    with index.reading():
        found = index.table.search(MatchQuery(term, "fulltext"), query_type="fts").select(["picture_id", "_score"])
        return len(found.limit(1).to_arrow()) > 0


def _latin_words(titles: Any) -> Any:
    """Arrow table of an Arrow column's words with Latin letters alone, and their counts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    counts = pc.value_counts(pc.list_flatten(pc.split_pattern(titles, " ")))
    kept = counts.filter(pc.match_substring_regex(counts.field("values"), _LATIN_TERM))
    return pa.table({"word": kept.field("values"), "count": kept.field("counts")})


def _most_frequent(counted: Any) -> Any:
    """One row a word, of the words with the highest counts."""
    summed = counted.group_by("word").aggregate([("count", "sum")]).rename_columns(["word", "count"])
    if len(summed) <= _MOST_TERMS:
        return summed
    return summed.sort_by([("count", "descending"), ("word", "ascending")]).slice(0, _MOST_TERMS)
