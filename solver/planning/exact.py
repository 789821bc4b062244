"""Exact decimals from the numbers that people pass: nothing is rounded, and whatever is not exact is rejected.

Converts a Python, numpy or text number to the Decimal that its writer meant.
"""

import re
from collections.abc import Iterable
from decimal import Context, Decimal
from functools import reduce
from math import isfinite

EXACT = Context(prec=400)
"""Products and sums of the numbers that are accepted here fit; only quotients round."""

_SHORT_DIGITS = 15
"""Any decimal of at most 15 digits survives as a binary float; a float with a longer one was computed."""
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)
_LONGEST = 64


class InvalidInput(ValueError):
    """A value that was passed cannot be used exactly; the message names it and what is accepted."""


def exact(value: object, name: str) -> Decimal:
    """Return a number as a Decimal, exactly.

    Args:
        value: an int, a Decimal, a string such as "1234.5", or a float that prints as a short decimal; numpy's scalars
            count as what they contain.
        name: what the number is, for the message.

    Raises:
        InvalidInput: it is not a number, not finite, or a float with more than 15 digits.

    >>> exact(0.1, "price")
    Decimal('0.1')
    >>> try:
    ...     exact(0.1 + 0.2, "price")
    ... except InvalidInput as error:
    ...     print(str(error)[:59])
    price: the float 0.30000000000000004 is not a short decimal
    """
    if isinstance(value, bool):
        raise InvalidInput(f"{name}: must be a number, is {value}")
    if isinstance(value, Decimal):
        return _checked(value, name)
    if isinstance(value, int):
        return _checked(Decimal(value), name)
    if isinstance(value, float):
        return _from_float(value, name)
    if isinstance(value, str):
        text = value.strip()
        if not _PLAIN.fullmatch(text) or len(text) > 2 * _LONGEST:
            raise InvalidInput(f"{name}: must be a plain number such as 1234.5, is {value[:40]!r}")
        return _checked(Decimal(text), name)
    item = getattr(value, "item", None)
    if callable(item) and type(value).__module__.partition(".")[0] == "numpy":
        return exact(item(), name)
    if value is None:
        raise InvalidInput(f"{name}: is missing")
    raise InvalidInput(f"{name}: must be an int, Decimal, string or short float, is of type {type(value).__name__}")


def total(numbers: Iterable[Decimal]) -> Decimal:
    """Add numbers without rounding."""
    return reduce(EXACT.add, numbers, Decimal(0))


def plain(number: Decimal) -> str:
    """Write a number without an exponent and without trailing zeros behind the point."""
    text = f"{number:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def money(amount: Decimal) -> str:
    """Write money exactly, with separators of thousands and at least two decimals.

    >>> money(Decimal("48488.4"))
    '48,488.40'
    """
    whole, _, fraction = plain(amount).partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{int(whole.lstrip('-')):,}.{fraction:0<2}"


def _from_float(value: float, name: str) -> Decimal:
    if not isfinite(value):
        raise InvalidInput(f"{name}: must be a finite number, is {value}")
    text = float.__repr__(value)
    number = Decimal(text)
    if len(number.normalize(EXACT).as_tuple().digits) > _SHORT_DIGITS:
        raise InvalidInput(
            f"{name}: the float {text} is not a short decimal, so its exact value is unclear;"
            " pass a Decimal, a string, or a rounded float"
        )
    return number.quantize(Decimal(1)) if number == number.to_integral_value() else number


def _checked(number: Decimal, name: str) -> Decimal:
    if not number.is_finite():
        raise InvalidInput(f"{name}: must be a finite number, is {number}")
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    if exponent < -_LONGEST or number.adjusted() >= _LONGEST:
        raise InvalidInput(f"{name}: must have at most {_LONGEST} digits on either side of the point")
    return number
