"""Numbers and dates that a source writes as texts: prices with currency signs, thousands separators, ISO dates.

Everything works on whole Arrow columns. A text is one number only where no other reading is possible: ``1,019.99`` is,
``1,019`` alone is not (a decimal comma has it as 1.019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

Decimal = Literal["", ".", ","]

INTEGER = r"^[-+]?(?:0|[1-9]\d{0,17})$"
NUMBER = r"^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$"
_NAMED = r"^[-+]?0\d|^[-+]?\d{19,}$"  # 007 is a name, and so is a number that no 64 bits hold
_MISSING = r"(?i)^(?:nan)?$"
_UNIT = r"[A-Z]{0,3}\p{Sc}|USD|EUR|GBP|CNY|RMB|JPY|KRW|INR|CHF|[元円圆원]|zł|kr|Rs\.?"
_PRICE = (
    rf"^(?P<sign>[-+]?)(?P<before>{_UNIT})?\s*(?P<inner>[-+]?)"
    rf"(?P<digits>\d(?:[\d.,' ]*[\d.,])?|[.,]\d+)\s*(?P<after>{_UNIT})?$"
)
_YEN, _YUAN, _EITHER = "円", "元", "¥"
_SAME_UNIT = dict.fromkeys(["圆", "CNY", "RMB", "CN¥", "RMB¥"], _YUAN) | dict.fromkeys(["JPY", "JP¥"], _YEN)
_JOINED = {_EITHER: {_EITHER, _YUAN}, _YEN: {_EITHER, _YEN}}
"""Units of columns in which a sign that two currencies share stands for one of them: ¥ is yuan, and yen beside 円."""
_EITHER_MARK = ("", "€", "EUR", "CHF")
"""Units whose countries write decimals with a point or a comma."""
_SPACED = r"\d{1,3}(?: \d{3})+|\d{1,3}(?:'\d{3})+|\d+"
_DIGITS = {
    "": rf"^(?:{_SPACED})$",
    ".": rf"^(?:(?:\d{{1,3}}(?:,\d{{2,3}})*,\d{{3}}|{_SPACED})(?:\.\d*)?|\.\d+)$",
    ",": rf"^(?:(?:\d{{1,3}}(?:\.\d{{3}})+|{_SPACED})(?:,\d+)?|,\d+)$",
}
_ZONE = r"(?:Z|[-+]\d{2}:?\d{2})"
_DATE = (
    r"^(?P<year>\d{4})[-/.年](?P<month>\d{1,2})[-/.月](?P<day>\d{1,2})日?"
    rf"(?P<time>(?:[T ]\d{{2}}:\d{{2}}(?::\d{{2}}(?:\.\d{{1,9}})?)?{_ZONE}?)?)$"
)
_LIKE_DATE = r"^\d{1,2}[-./]\d{1,2}[-./]\d{4}(?:$|[T ])"  # day and month may have changed places
_GROUP = r"^[-+]?[1-9]\d{0,2}\.\d{3}$"
_ISO_DATE = r"^\d{4}-\d{2}-\d{2}(?:$|[T ])"


@dataclass(frozen=True)
class NumberStyle:
    """How a column writes its numbers."""

    unit: str = ""
    """Currency sign that every value carries, such as ``$``."""
    decimal: Decimal = ""
    """What stands before the fraction where thousands are separated or a comma stands; "" where no text shows it."""
    whole: bool = False
    """No value has a fraction."""


def trimmed(texts: Any) -> Any:
    """Texts without blanks around them; blank ones are null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = pc.utf8_trim_whitespace(texts.cast(pa.string()))
    return pc.if_else(pc.equal(plain, ""), pa.scalar(None, pa.string()), plain)


def number_style(texts: Any, unit: str | None = None) -> NumberStyle | str | None:
    """How a column of texts writes numbers.

    Args:
        texts: Arrow texts.
        unit: that the column is known to have; it may be left out then. None finds it.

    Returns:
        the style; in words, with the row, why they are no numbers although most of them are; None for other texts.
    """
    import pyarrow.compute as pc

    plain = _number_texts(texts)
    filled = plain.drop_null()
    if not len(filled):
        return None
    if _any(filled, _NAMED):
        return None
    if _all(filled, NUMBER):
        return NumberStyle(whole=_all(filled, INTEGER))
    digits, units = _split(plain)
    fits, best = _marks(digits)
    if _any(digits.drop_null(), _NAMED):
        return None
    missing = pc.is_null(plain)
    count = pc.sum(fits[best]).as_py()
    if count < len(filled):
        row = pc.index(pc.or_(fits[best], missing), False).as_py()
        return _misread(texts, row, count) if 2 * count >= len(filled) else None
    found = pc.unique(units.filter(pc.is_valid(plain))).to_pylist()
    if unit is not None and set(found) <= {"", unit}:
        found = [unit]
    joint = _joint(found)
    if joint is None:
        rows = [pc.index(units, one).as_py() for one in _apart(found)]
        shown = " and ".join(f"{_cut(texts, row)} (row {row})" for row in rows)
        return f"its values are not all of one currency, such as {shown}"
    decimal = _mark(digits, fits, joint)
    if decimal is None:
        row = pc.index(pc.match_substring_regex(digits, r"[.,]"), True).as_py()
        return f"{_cut(texts, row)} (row {row}) can be read in two ways, and no other row says how"
    return NumberStyle(joint, decimal, not decimal or not _any(digits.drop_null(), rf"\{decimal}"))


def most_numbers(texts: Any) -> Any:
    """The texts of a column, null where they are no numbers as most of the column is written."""
    import pyarrow as pa
    import pyarrow.compute as pc

    fits, best = _marks(_split(_number_texts(texts))[0])
    return pc.if_else(fits[best], texts, pa.scalar(None, texts.type))


def holds_codes(texts: Any) -> bool:
    """Whether a text looks like a number but is a name: 007, or more digits than 64 bits hold."""
    plain = _number_texts(texts)
    digits, _ = _split(plain)
    return _any(plain.drop_null(), _NAMED) or _any(digits.drop_null(), _NAMED)


def number_texts(texts: Any, style: NumberStyle) -> Any:
    """The texts of a column with such numbers, as a cast to numbers reads them; others stay as they are written."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = _number_texts(texts)
    digits, units = _split(plain)
    known = pc.is_in(units, value_set=pa.array(["", *_JOINED.get(style.unit, {style.unit})]))
    ours = pc.match_substring_regex(plain, NUMBER)
    fits = pc.match_substring_regex(digits, _DIGITS[style.decimal])
    joined = pc.replace_substring_regex(digits, "[. ']" if style.decimal == "," else "[, ']", "")
    joined = pc.replace_substring(joined, ",", ".")
    signs = pc.struct_field(pc.extract_regex(plain, _PRICE), "sign")
    inner = pc.struct_field(pc.extract_regex(plain, _PRICE), "inner")
    joined = pc.binary_join_element_wise(signs, inner, joined, "")
    styled = pc.if_else(pc.fill_null(pc.and_(fits, known), False), joined, plain)
    return styled if style.decimal == "," else pc.if_else(ours, plain, styled)


def date_texts(texts: Any) -> Any | None:
    """Dates as ISO texts: those that are written so stay as they are, 2026/1/5 and 2026年1月5日 become 2026-01-05.

    Returns:
        Arrow texts; None where one of them is no date.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = trimmed(texts)
    if not len(plain.drop_null()) or not _all(plain.drop_null(), _DATE):
        return None
    parts = pc.extract_regex(plain, _DATE)
    year, month, day, time = (pc.struct_field(parts, name) for name in ("year", "month", "day", "time"))
    padded = [year, *(pc.utf8_lpad(part, 2, "0") for part in (month, day))]
    dates = pc.binary_join_element_wise(*padded, "-")
    try:
        dates.cast(pa.date32())
    except pa.ArrowInvalid:  # 2026-02-30
        return None
    whole = pc.binary_join_element_wise(dates, time, "")
    iso = pc.match_substring_regex(plain, _ISO_DATE)
    return pc.if_else(iso, plain, whole).cast(pa.string())


def date_note(texts: Any) -> str | None:
    """In words, with the row, why texts are no dates although most of them are; None for other texts."""
    import pyarrow.compute as pc

    plain = trimmed(texts)
    filled = len(plain.drop_null())
    unread = pc.fill_null(pc.match_substring_regex(plain, _LIKE_DATE), False)
    if filled and 2 * pc.sum(unread).as_py() >= filled:
        return f"{_shown(texts, pc.index(unread, True).as_py())} is no date"
    dates = pc.fill_null(pc.match_substring_regex(plain, _DATE), False)
    count = pc.sum(dates).as_py() or 0
    if not count or 2 * count < filled:
        return None
    wrong = pc.and_(pc.is_valid(plain), pc.invert(dates))
    row = pc.index(wrong, True).as_py()
    if row < 0:  # all are written as dates, but one is in no calendar
        row = next(row for row in range(len(plain)) if plain[row].is_valid and date_texts(plain[row : row + 1]) is None)
    return f"{_shown(texts, row)} is no date"


def group_note(texts: Any) -> str | None:
    """The first number, with its row, whose point may part thousands, where that holds for all with a point."""
    import pyarrow.compute as pc

    plain = _number_texts(texts)
    pointed = pc.fill_null(pc.match_substring(plain, "."), False)
    if not pc.any(pointed).as_py() or not _all(plain.filter(pointed), _GROUP):
        return None
    return _shown(texts, pc.index(pointed, True).as_py())


def temporal_texts(values: Any) -> Any:
    """Arrow dates and times as ISO texts of their own time zone: 2026-01-05, or 2026-01-05 13:00:00 with a time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = values.cast(pa.string())
    texts = pc.replace_substring_regex(texts, rf"(\.\d*?)0+({_ZONE}?)$", r"\1\2")
    texts = pc.replace_substring_regex(texts, rf"\.({_ZONE}?)$", r"\1")
    return pc.replace_substring_regex(texts, "^(.{10}) 00:00:00$", r"\1")


def _number_texts(texts: Any) -> Any:
    """Texts in plain signs (NFKC), those that stand for no number null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = pc.utf8_trim_whitespace(pc.utf8_normalize(texts.cast(pa.string()), "NFKC"))
    plain = pc.replace_substring(pc.replace_substring(plain, "−", "-"), "’", "'")
    return pc.if_else(pc.match_substring_regex(plain, _MISSING), pa.scalar(None, pa.string()), plain)


def _split(plain: Any) -> tuple[Any, Any]:
    """Digits and currency of each text; null and "" where it is no price."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = pc.extract_regex(plain, _PRICE)
    units = pc.binary_join_element_wise(pc.struct_field(parts, "before"), pc.struct_field(parts, "after"), "")
    for name, same in _SAME_UNIT.items():
        units = pc.if_else(pc.equal(units, name), pa.scalar(same), units)
    return pc.struct_field(parts, "digits"), pc.fill_null(units, "")


def _marks(digits: Any) -> tuple[dict[Decimal, Any], Decimal]:
    """Which rows may have each mark before the fraction, and the mark of most rows."""
    import pyarrow.compute as pc

    marks: tuple[Decimal, ...] = (".", ",")
    fits = {mark: pc.fill_null(pc.match_substring_regex(digits, _DIGITS[mark]), False) for mark in marks}
    return fits, max(marks, key=lambda mark: pc.sum(fits[mark], min_count=0).as_py())


def _joint(units: Sequence[str]) -> str | None:
    """The one currency that these units are; None where they are several."""
    joined = [unit for unit, parts in _JOINED.items() if parts.issuperset(units)]
    return joined[0] if joined else units[0] if len(units) == 1 else None


def _apart(units: Sequence[str]) -> tuple[str, str]:
    """The first two units that are not one currency."""
    return next(pair for pair in combinations(units, 2) if _joint(pair) is None)


def _mark(digits: Any, fits: dict[Decimal, Any], unit: str) -> Decimal | None:
    """What stands before fractions, "" where no text shows it; None where both readings are possible and differ."""
    import pyarrow.compute as pc

    filled = digits.drop_null()
    both = len(filled) == pc.sum(fits["."]).as_py() == pc.sum(fits[","]).as_py()
    if not both:
        return "." if pc.sum(fits["."]).as_py() == len(filled) else ","
    if not _any(filled, r"[.,]"):
        return ""
    return "." if unit not in _EITHER_MARK and not _any(filled, r"\.") else None


def _misread(texts: Any, row: int, count: int) -> str:
    others = "the other is" if count == 1 else f"{count} others are"
    return f"{_cut(texts, row)} (row {row}) is no number, and {others}"


def _shown(texts: Any, row: int) -> str:
    return f"{_cut(texts, row)} (row {row})"


def _cut(texts: Any, row: int) -> str:
    return repr(str(texts[row].as_py())[:40])


def _all(texts: Any, pattern: str) -> bool:
    import pyarrow.compute as pc

    return bool(pc.all(pc.match_substring_regex(texts, pattern), min_count=0).as_py())


def _any(texts: Any, pattern: str) -> bool:
    import pyarrow.compute as pc

    return bool(pc.any(pc.match_substring_regex(texts, pattern), min_count=0).as_py())
