"""Numbers as people and brokers write them, read exactly or not at all.

A cell may have a currency, a percent sign, brackets for a negative number and separators of thousands. Whether a comma
or a point separates the decimals is decided for a whole column by the cells that leave no doubt, then by the other
columns of the file; a cell such as "1,234" that nothing decides is an error.
"""

import re
from collections.abc import Iterable
from decimal import Decimal

from msgspec import Struct

POINT, COMMA = ".", ","

_CURRENCIES = {
    "$": "USD", "US$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "CHF": "CHF", "FR.": "CHF", "A$": "AUD",
    "C$": "CAD", "CA$": "CAD", "AU$": "AUD", "HK$": "HKD", "NZ$": "NZD", "S$": "SGD", "KR": "SEK", "ZŁ": "PLN",
    "₹": "INR", "R$": "BRL", "₩": "KRW", "KČ": "CZK", "₪": "ILS",
}  # fmt: skip
CURRENCY_CODES = frozenset(
    [
        "USD",
        "EUR",
        "GBP",
        "GBX",
        "JPY",
        "CHF",
        "AUD",
        "CAD",
        "HKD",
        "NZD",
        "SGD",
        "SEK",
        "NOK",
        "DKK",
        "PLN",
        "INR",
        "BRL",
        "KRW",
        "CZK",
        "ILS",
        "MXN",
        "ZAR",
        "CNY",
        "CNH",
        "HUF",
        "TRY",
        "THB",
        "TWD",
        "RON",
    ]
)
EMPTY = frozenset(
    {
        "",
        "-",
        "--",
        "---",
        "n/a",
        "na",
        "nan",
        "none",
        "null",
        "#n/a",
        "\N{EM DASH}",
        "\N{EN DASH}",
        "*",
        "not available",
    }
)
"""Cells that stand for no number."""

_SPACES = dict.fromkeys(map(ord, "\u00a0\u2007\u2009\u202f\u2002\u2003"), " ")
_MINUS = dict.fromkeys(map(ord, "\u2212\u2012\u2013\ufe63\uff0d"), "-")
_APOSTROPHES = dict.fromkeys(map(ord, "\u2019\u02bc\u00b4`"), "'")
_CORE = re.compile(r"[0-9]|[0-9.,' ]*[0-9][0-9.,' ]*", re.ASCII)
_SCIENTIFIC = re.compile(r"(\d+\.?\d*|\.\d+)[eE][+-]?\d{1,2}", re.ASCII)
_GROUPED = {
    separator: re.compile(rf"[0-9]{{1,3}}(?:{re.escape(separator)}[0-9]{{3}})+", re.ASCII) for separator in ",.' "
}
LONGEST = 40
_SIMPLE = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,2})?", re.ASCII)
"""Numbers that need no further reading, without a sign, and with too few decimals to be thousands."""


class NotNumber(ValueError):
    """A cell that is no number, or not one that can be read exactly; the message has the reason."""


class Numeral(Struct, frozen=True):
    """A number whose separators are not interpreted yet.

    Attributes:
        text: the cell.
        core: digits and separators only.
        negative: by a sign before or behind it, or by brackets.
        percent: whether it has a percent sign.
        currency: ISO code, if it has a currency.
        decimal: the decimal separator, if the number itself leaves no doubt about it.
        ambiguous: whether it can be a thousand or a fraction, such as "1,234".
        number: the number, once it is decided.
    """

    text: str
    core: str
    negative: bool
    percent: bool
    currency: str | None
    decimal: str | None
    ambiguous: bool
    number: Decimal | None = None

    def value(self, decimal: str | None) -> Decimal:
        """Return the number with the given decimal separator; None if the column has no separators that matter.

        Raises:
            NotNumber: its separators contradict that.
        """
        if self.number is not None:
            return self.number
        if self.ambiguous and decimal is None:
            separator = COMMA if COMMA in self.core else POINT
            thousand = self.core.replace(separator, "")
            raise NotNumber(
                f'"{self.text}" is either {thousand} or {self.core.replace(separator, POINT)}, and nothing else in the'
                f" file decides; write {thousand} or {self.core.replace(separator, POINT)}0, or use a decimal separator"
                " in another number"
            )
        if self.decimal is not None and decimal is not None and self.decimal != decimal:
            raise NotNumber(
                f'"{self.text}" has a decimal {_NAMES[self.decimal]}, but other numbers of the column have a decimal'
                f" {_NAMES[decimal]}; use one of them"
            )
        number = Decimal(self._digits(self.decimal or decimal))
        return -number if self.negative and number else number

    def _digits(self, decimal: str | None) -> str:
        if _SCIENTIFIC.fullmatch(self.core):
            return self.core
        thousands = {",", ".", "'", " "} - {decimal}
        whole, _, fraction = self.core.partition(decimal) if decimal else (self.core, "", "")
        used = {char for char in whole if char in thousands}
        if len(used) > 1 or any(not char.isdigit() for char in fraction):
            raise NotNumber(f'"{self.text}" mixes separators of thousands')
        for separator in used:
            if not _GROUPED[separator].fullmatch(whole):
                raise NotNumber(f'"{self.text}" has separators that are not between groups of three digits')
            whole = whole.replace(separator, "")
        return f"{whole or '0'}.{fraction or '0'}" if fraction or decimal else whole


_NAMES = {POINT: "point", COMMA: "comma"}


def read_numeral(cell: str) -> Numeral | None:
    """Read a cell up to the meaning of its separators; None if it stands for no number.

    Raises:
        NotNumber: it is no number.
    """
    if _SIMPLE.fullmatch(cell):  # nearly all cells of a large file
        return Numeral(cell, cell, False, False, None, POINT if POINT in cell else None, False)
    text = cell.translate(_SPACES).translate(_MINUS).translate(_APOSTROPHES).strip()
    if text.lower() in EMPTY:
        return None
    if len(text) > LONGEST:
        raise NotNumber(f'"{text[:LONGEST]}..." is too long for a number')
    rest, negative = _without_sign(text)
    rest, percent = (rest.replace("%", " ", 1).strip(), True) if rest.count("%") == 1 else (rest, False)
    rest, currency = _without_currency(rest)
    rest, inner = _without_sign(rest)
    if negative and inner:
        raise NotNumber(f'"{cell}" has two signs')
    rest = rest.lstrip("'").strip()
    if _SCIENTIFIC.fullmatch(rest):
        return Numeral(cell, rest, negative or inner, percent, currency, POINT if "." in rest else None, False)
    if not _CORE.fullmatch(rest) or (not rest[-1:].isdigit() and rest[-1:] != "."):
        raise NotNumber(f'"{cell}" is not a number')
    decimal, ambiguous = _separators(cell, rest)
    return Numeral(cell, rest.rstrip(".") if decimal != POINT else rest, negative or inner, percent, currency, decimal,
                   ambiguous)  # fmt: skip


def _without_sign(text: str) -> tuple[str, bool]:
    if text.startswith("(") and text.endswith(")"):
        inner = text[1:-1].strip()
        if inner.startswith(("-", "+", "(")):
            raise NotNumber(f'"{text}" has two signs')
        return inner, True
    if text.startswith(("-", "+")):
        return text[1:].strip(), text[0] == "-"
    if text.endswith("-") and text[:-1].strip()[-1:].isdigit():
        return text[:-1].strip(), True
    return text, False


def _without_currency(text: str) -> tuple[str, str | None]:
    """Split off a sign or code of a currency before or behind the digits."""
    match = re.fullmatch(r"([^\d.,'+\-(]*)(.*?)([^\d.,')\-]*)", text)
    if match is None:
        return text, None
    before, core, behind = (part.strip() for part in match.groups())
    marks = [mark for mark in (before, behind) if mark]
    if not marks:
        return core, None
    currency = currency_of(marks[0])
    if len(marks) > 1 or currency is None:
        raise NotNumber(f'"{text}" is not a number')
    return core, currency


def currency_of(mark: str) -> str | None:
    """Return the ISO code of a currency's sign or code; None if it is unknown."""
    mark = mark.strip().upper()
    return mark if mark in CURRENCY_CODES else _CURRENCIES.get(mark)


def _separators(cell: str, core: str) -> tuple[str | None, bool]:
    """Return the decimal separator that a number proves, and whether it is ambiguous."""
    present = [separator for separator in (POINT, COMMA) if separator in core]
    if len(present) == 2:
        last = POINT if core.rindex(POINT) > core.rindex(COMMA) else COMMA
        if core.count(last) > 1:
            raise NotNumber(f'"{cell}" mixes separators of thousands')
        return last, False
    if not present:
        return None, False
    (separator,) = present
    if core.count(separator) > 1:
        return (COMMA if separator == POINT else POINT), False
    whole, _, fraction = core.partition(separator)
    if len(fraction) != 3 or not 1 <= len(whole.strip()) <= 3 or whole.startswith("0"):
        return separator, False
    return None, True


def agreed_decimal(numerals: Iterable[Numeral]) -> str | None:
    """Return the decimal separator that some numbers prove; None if none does, or if they contradict each other."""
    proven = {numeral.decimal for numeral in numerals} - {None}
    return proven.pop() if len(proven) == 1 else None
