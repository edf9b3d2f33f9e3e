r"""Filters that people write, read by a grammar of our own and turned into conditions over known columns.

Nothing that was written reaches the database: names are looked up, values are numbers, booleans or quoted anew.

::

    filter    = term { "or" term }
    term      = factor { "and" factor }
    factor    = "not" factor | "(" filter ")" | condition
    condition = name ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value
              | name [ "not" ] "in" "(" value { "," value } ")"
              | name [ "not" ] "between" value "and" value
              | name [ "not" ] "contains" text
              | name "is" [ "not" ] "null"
    name      = word | `any characters` | "any characters"
    value     = number | text | "true" | "false"
    text      = 'any characters, '' for a quote' | "any characters"

What a condition means for the values of each kind is in :mod:`interbert.search.conditions`.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from interbert.errors import FilterError
from interbert.search import conditions
from interbert.search.columns import Column
from interbert.search.conditions import Value

_MOST_CHARACTERS = 20_000
_MOST_NESTED = 50
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
      | (?P<operator><=|>=|<>|!=|==|=|<|>)
      | (?P<sign>[(),])
      | (?P<single>'(?:[^']|'')*')
      | (?P<double>"(?:[^"]|"")*")
      | (?P<tick>`[^`]+`)
      | (?P<word>[^\W\d][\w.\-]*)
      | (?P<stray>.)
    """,
    re.VERBOSE,
)
_OPERATORS = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_KEYWORDS = frozenset({"and", "or", "not", "in", "is", "null", "between", "contains", "true", "false"})


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int

    def is_one(self, *words: str) -> bool:
        return self.kind in ("word", "sign") and self.text.lower() in words


@dataclass(frozen=True)
class Filter:
    """A filter that was read."""

    condition: str
    """For the database."""
    values: tuple[tuple[Column, str], ...]
    """Texts that columns are compared with as a whole: by =, !=, in, and contains for lists."""
    negated: tuple[Column, ...]
    """Columns below !=, not: rows without a value fulfil neither a condition nor its negation."""
    nulls: tuple[Column, ...]
    """Columns asked whether they are null."""
    dates: tuple[Column, ...] = ()
    """Columns of texts that are compared with dates."""


def read_filter(text: str, columns: Mapping[str, Column], unfiltered: Mapping[str, str] | None = None) -> Filter:
    """Read a filter.

    Args:
        text: what the user wrote, such as ``price < 50 and colour = 'black'``.
        columns: by the names that users know.
        unfiltered: columns that are there but that no filter can use, with what to do about it.

    Raises:
        FilterError: it is no filter, names an unknown column, or compares a column with a value of another kind; the
            message says at which character.
    """
    if len(text) > _MOST_CHARACTERS:
        raise FilterError(f"the filter has {len(text):,} characters, at most {_MOST_CHARACTERS:,} are read.")
    return _Parser(text, columns, unfiltered or {}).parse()


class _Parser:
    def __init__(self, text: str, columns: Mapping[str, Column], unfiltered: Mapping[str, str]) -> None:
        self._text = text
        self._columns = columns
        self._unfiltered = unfiltered
        self._values: list[tuple[Column, str]] = []
        self._negated: list[Column] = []
        self._nulls: list[Column] = []
        self._dates: list[Column] = []
        self._negations = 0
        self._tokens = self._tokenize()
        self._place = 0
        self._depth = 0

    def parse(self) -> Filter:
        if self._next.kind == "end":
            raise self._error("the filter is empty; a condition such as price < 50 belongs here", self._next)
        condition = self._any()
        if self._next.kind != "end":
            raise self._error("expected 'and', 'or' or the end", self._next)
        negated, dates = tuple(dict.fromkeys(self._negated)), tuple(dict.fromkeys(self._dates))
        return Filter(condition, tuple(self._values), negated, tuple(self._nulls), dates)

    def _tokenize(self) -> list[_Token]:
        found = [_Token(str(one.lastgroup), one.group(), one.start()) for one in _TOKEN.finditer(self._text)]
        for token in found:
            if token.kind == "stray":
                quote = "this quote is not closed" if token.text in "'\"`" else f"{token.text!r} means nothing here"
                raise self._error(quote, token)
        return [*(token for token in found if token.kind != "space"), _Token("end", "", len(self._text))]

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take(self) -> _Token:
        token = self._next
        self._place += 1
        return token

    def _accept(self, *words: str) -> bool:
        accepted = self._next.is_one(*words)
        self._place += accepted
        return accepted

    def _expect(self, sign: str, what: str) -> None:
        if not self._accept(sign):
            raise self._error(f"expected {sign!r} {what}", self._next)

    def _any(self) -> str:
        return self._joined("or", self._all)

    def _all(self) -> str:
        return self._joined("and", self._factor)

    def _joined(self, word: str, read: Callable[[], str]) -> str:
        parts = [read()]
        while self._accept(word):
            parts.append(read())
        return parts[0] if len(parts) == 1 else "(" + f" {word.upper()} ".join(parts) + ")"

    def _factor(self) -> str:
        self._depth += 1
        if self._depth > _MOST_NESTED:
            raise self._error(f"more than {_MOST_NESTED} conditions lie inside each other", self._next)
        if self._accept("not"):
            self._negations += 1
            condition = f"(NOT {self._factor()})"
            self._negations -= 1
        elif self._accept("("):
            condition = self._any()
            self._expect(")", "that closes the bracket")
        else:
            condition = self._condition()
        self._depth -= 1
        return condition

    def _condition(self) -> str:
        column = self._column()
        token = self._take()
        if (operator := _OPERATORS.get(token.text)) is not None:
            self._note_negated(column, operator == "!=")
            return conditions.compare(column, operator, self._value(column, operator))
        if token.is_one("is"):
            self._nulls.append(column)
            negated = self._accept("not")
            if not self._accept("null"):
                raise self._error("expected 'null' after 'is'", self._next)
            return conditions.is_null(column, negated)
        negated = token.is_one("not")
        self._note_negated(column, negated)
        token = self._take() if negated else token
        if token.is_one("in"):
            condition = conditions.among(column, self._list(column))
        elif token.is_one("between"):
            low = self._value(column, ">=")
            if not self._accept("and"):
                raise self._error("expected 'and' between the two ends", self._next)
            condition = conditions.between(column, low, self._value(column, "<="))
        elif token.is_one("contains"):
            condition = self._contains(column)
        else:
            raise self._error("expected =, !=, <, <=, >, >=, in, between, contains or is null", token)
        return f"(NOT {condition})" if negated else f"({condition})"

    def _note_negated(self, column: Column, negated: bool) -> None:
        if negated or self._negations:
            self._negated.append(column)

    def _column(self) -> Column:
        token = self._take()
        names = {"word": token.text, "tick": token.text[1:-1], "double": token.text[1:-1].replace('""', '"')}
        if token.kind not in names or (token.kind == "word" and token.text.lower() in _KEYWORDS):
            raise self._error("expected the name of a column", token)
        name = names[token.kind]
        same = [known for known in self._columns if known.lower() == name.lower()]
        same = [name] if name in self._columns else same
        if len(same) == 1:
            return self._columns[same[0]]
        close = difflib.get_close_matches(name.lower(), [known.lower() for known in self._columns], n=1, cutoff=0.5)
        hint = f" Did you mean {next(k for k in self._columns if k.lower() == close[0])!r}?" if close else ""
        for other, remedy in self._unfiltered.items():
            if other.lower() == name.lower():
                raise self._error(f"{other!r} is no filter column; {remedy}", token)
        known = ", ".join(self._columns) or "none"
        raise self._error(f"there is no column {name[:60]!r}.{hint} Columns: {known}", token)

    def _list(self, column: Column) -> list[Value]:
        self._expect("(", "before the list of values")
        values = [self._value(column, "=")]
        while self._accept(","):
            values.append(self._value(column, "="))
        self._expect(")", "after the list of values, or ','")
        return values

    def _contains(self, column: Column) -> str:
        token = self._take()
        if column.kind not in ("text", "date", "list") or token.kind not in ("single", "double"):
            wrong = (
                f"{column.name!r} holds no text"
                if column.kind in ("integer", "number", "boolean")
                else "expected a quoted text"
            )
            raise self._error(f"{wrong}: contains looks for a piece of text", token)
        text = _unquoted(token.text)
        if column.kind == "list":
            self._values.append((column, text))
        return conditions.contains(column, text)

    def _value(self, column: Column, operator: str) -> Value:
        """A literal, checked against the column's kind."""
        token = self._take()
        if column.kind == "boolean" and token.is_one("true", "false") and operator in ("=", "!="):
            return token.text.lower() == "true"
        if column.kind in ("integer", "number") and token.kind == "number":
            if not math.isfinite(float(token.text)):
                raise self._error("the number is too large", token)
            return Decimal(token.text)
        if column.kind in ("text", "date") and token.kind in ("single", "double"):
            text = _unquoted(token.text)
            self._require_comparable(column, operator, text, token)
            if column.kind == "text" and operator in ("=", "!="):
                self._values.append((column, text))
            return text
        raise self._error(f"{column.name!r} is compared with {_WANTED[column.kind]}", token)

    def _require_comparable(self, column: Column, operator: str, text: str, token: _Token) -> None:
        """Dates are compared with dates, and texts, whose order says nothing of what they mean, by = and !=."""
        is_date = conditions.is_date(text)
        if column.kind == "date" and not is_date:
            raise self._error(f"{column.name!r} is compared with {_WANTED['date']}", token)
        if column.kind == "text" and operator not in ("=", "!=") and not (is_date and len(text) >= len("2026-01-05")):
            raise self._error(
                f"{column.name!r} holds texts, whose order is that of their characters ('9' is above '10'), so they "
                "are compared by =, !=, in and contains. Prices such as $1,019.99 become numbers when an index is "
                "built (--rebuild), if all rows are written in one way and one currency",
                token,
            )
        own = column.field.startswith("m_")  # an id is what it says
        if own and column.kind == "text" and is_date and len(text.strip()) >= len("2026-01-05"):
            self._dates.append(column)

    def _error(self, why: str, token: _Token) -> FilterError:
        before = self._text[max(0, token.start - 30) : token.start]
        after = self._text[token.start : token.start + 30]
        shown = " ".join(f"{before}>>>{after}".split())
        return FilterError(f"filter, character {token.start + 1} ({shown}): {why}.")


_WANTED = {
    "text": "a quoted text, such as 'black'",
    "integer": "a number",
    "number": "a number",
    "boolean": "= or != and true or false",
    "date": "a quoted date without time zone, such as '2026-01-05' or '2026-01-05 13:00'",
    "list": "contains, such as contains 'black', or is null",
}


def _unquoted(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0])
