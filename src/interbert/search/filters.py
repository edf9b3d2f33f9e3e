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
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from interbert.errors import FilterError
from interbert.search.columns import Column

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

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.lower() in words


def compile_filter(text: str, columns: Mapping[str, Column]) -> str:
    """A condition for the database.

    Args:
        text: what the user wrote, such as ``price < 50 and colour = 'black'``.
        columns: by the names that users know.

    Raises:
        FilterError: it is no filter, names an unknown column, or compares a column with a value of another kind; the
            message says at which character.
    """
    if len(text) > _MOST_CHARACTERS:
        raise FilterError(f"the filter has {len(text):,} characters, at most {_MOST_CHARACTERS:,} are read.")
    return _Parser(text, columns).parse()


class _Parser:
    def __init__(self, text: str, columns: Mapping[str, Column]) -> None:
        self._text = text
        self._columns = columns
        self._tokens = self._tokenize()
        self._place = 0
        self._depth = 0

    def parse(self) -> str:
        if self._next.kind == "end":
            raise self._error("the filter is empty; a condition such as price < 50 belongs here", self._next)
        condition = self._any()
        if self._next.kind != "end":
            raise self._error("expected 'and', 'or' or the end", self._next)
        return condition

    def _tokenize(self) -> list[_Token]:
        tokens, place = [], 0
        while place < len(self._text):
            found = _TOKEN.match(self._text, place)
            if found is None:
                sign = self._text[place]
                quote = "this quote is not closed" if sign in "'\"`" else f"{sign!r} means nothing here"
                raise self._error(quote, _Token("", "", place))
            if found.lastgroup != "space":
                tokens.append(_Token(str(found.lastgroup), found.group(), place))
            place = found.end()
        return [*tokens, _Token("end", "", len(self._text))]

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take(self) -> _Token:
        token = self._next
        self._place += 1
        return token

    def _accept(self, *words: str) -> bool:
        if self._next.is_word(*words):
            self._place += 1
            return True
        return False

    def _expect(self, sign: str, what: str) -> None:
        if self._next.text != sign or self._next.kind != "sign":
            raise self._error(f"expected {sign!r} {what}", self._next)
        self._place += 1

    def _any(self) -> str:
        terms = [self._all()]
        while self._accept("or"):
            terms.append(self._all())
        return terms[0] if len(terms) == 1 else "(" + " OR ".join(terms) + ")"

    def _all(self) -> str:
        factors = [self._factor()]
        while self._accept("and"):
            factors.append(self._factor())
        return factors[0] if len(factors) == 1 else "(" + " AND ".join(factors) + ")"

    def _factor(self) -> str:
        self._depth += 1
        if self._depth > _MOST_NESTED:
            raise self._error(f"more than {_MOST_NESTED} conditions lie inside each other", self._next)
        try:
            if self._accept("not"):
                return f"(NOT {self._factor()})"
            if self._next.kind == "sign" and self._next.text == "(":
                self._place += 1
                inside = self._any()
                self._expect(")", "that closes the bracket")
                return inside
            return self._condition()
        finally:
            self._depth -= 1

    def _condition(self) -> str:
        column = self._column()
        operator = self._take()
        if operator.kind == "operator":
            return f"({column.field} {_OPERATORS[operator.text]} {self._value(column, operator.text)})"
        if operator.is_word("is"):
            negated = "NOT " if self._accept("not") else ""
            if not self._accept("null"):
                raise self._error("expected 'null' after 'is'", self._next)
            return f"({column.field} IS {negated}NULL)"
        negated = "NOT " if operator.is_word("not") else ""
        if negated:
            operator = self._take()
        if operator.is_word("in"):
            return f"({negated}{column.field} IN ({', '.join(self._list(column))}))"
        if operator.is_word("between"):
            low = self._value(column, ">=")
            if not self._accept("and"):
                raise self._error("expected 'and' between the two ends", self._next)
            return f"({negated}({column.field} >= {low} AND {column.field} <= {self._value(column, '<=')}))"
        if operator.is_word("contains"):
            return f"({negated}{self._contains(column)})"
        raise self._error("expected =, !=, <, <=, >, >=, in, between, contains or is null", operator)

    def _column(self) -> Column:
        token = self._take()
        names = {"word": token.text, "tick": token.text[1:-1], "double": token.text[1:-1].replace('""', '"')}
        if token.kind not in names or (token.kind == "word" and token.text.lower() in _KEYWORDS):
            raise self._error("expected the name of a column", token)
        name = names[token.kind]
        if name in self._columns:
            return self._columns[name]
        same = [known for known in self._columns if known.lower() == name.lower()]
        if len(same) == 1:
            return self._columns[same[0]]
        close = difflib.get_close_matches(name.lower(), [known.lower() for known in self._columns], n=1, cutoff=0.5)
        hint = f" Did you mean {next(k for k in self._columns if k.lower() == close[0])!r}?" if close else ""
        known = ", ".join(self._columns) or "none"
        raise self._error(f"there is no column {name[:60]!r}.{hint} Columns: {known}", token)

    def _list(self, column: Column) -> list[str]:
        self._expect("(", "before the list of values")
        values = [self._value(column, "=")]
        while self._next.kind == "sign" and self._next.text == ",":
            self._place += 1
            values.append(self._value(column, "="))
        self._expect(")", "after the list of values, or ','")
        return values

    def _contains(self, column: Column) -> str:
        token = self._take()
        if column.kind != "text" or token.kind not in ("single", "double"):
            wrong = "expected a quoted text" if column.kind == "text" else f"{column.name!r} holds no text"
            raise self._error(f"{wrong}: contains looks for a piece of text", token)
        return f"(strpos(lower({column.field}), {_quoted(_unquoted(token.text).lower())}) > 0)"

    def _value(self, column: Column, operator: str) -> str:
        """A literal, checked against the column's kind."""
        token = self._take()
        if column.kind == "boolean" and token.is_word("true", "false") and operator in ("=", "==", "!=", "<>"):
            return token.text.upper()
        if column.kind in ("integer", "number") and token.kind == "number":
            return self._number(token)
        if column.kind == "text" and token.kind in ("single", "double"):
            return _quoted(_unquoted(token.text))
        raise self._error(f"{column.name!r} is compared with {_WANTED[column.kind]}", token)

    def _number(self, token: _Token) -> str:
        if re.fullmatch(r"[-+]?\d+", token.text) and abs(int(token.text)) < 2**63:
            return str(int(token.text))
        value = float(token.text)
        if not math.isfinite(value):
            raise self._error("the number is too large", token)
        return repr(value)

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
}


def _unquoted(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
