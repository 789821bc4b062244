"""What the services' answers have in common: identifiers, exact numbers, and long lists read row by row."""

from collections.abc import Callable, Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation
from itertools import repeat
from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from integrations.http.client import ServiceClient
from integrations.http.errors import Cause, ServiceError

ENTITY_ID = r"^[0-9A-Za-z]{24}\Z"
EntityId = Annotated[str, Meta(pattern=ENTITY_ID)]
"""A security's or portfolio's id: 24 letters or digits."""

Ticker = Annotated[str, Meta(min_length=1, max_length=50)]

MAX_LIST_BYTES = 8 * 1024 * 1024
"""For a whole list of securities or prices: sixty times the suite's, of which each is read once at a time."""

MAX_ROWS = 50_000
"""A hundred times the suite's securities, and few enough to look at without holding up everything else."""

_SMALLEST_UNIT = Decimal("1e-8")
_QUANTITY_LIMIT = Decimal(10**12)
_BOOKS = Context(prec=20, traps=[Inexact, InvalidOperation])
"""Holds what is below the limit to the smallest unit, and refuses whatever it would have to round."""
_PRICE_LIMIT = Decimal(10**7)


def are_entity_ids(texts: Sequence[str]) -> bool:
    """Whether all of them are 24 letters or digits, none of a foreign script."""
    joined = "".join(texts)
    return set(map(len, texts)) <= {24} and (not joined or (joined.isascii() and joined.isalnum()))


def check_quantity(field: str, value: Decimal) -> None:
    """Raises ValueError unless it is a number of shares or an amount of money that the books can hold.

    That is: finite, at most 8 decimals, below 10^12 either way.
    """
    if not value:
        return  # as one of the two quantities of nearly every balance is
    _check_within(field, value, -_QUANTITY_LIMIT, _QUANTITY_LIMIT)


def are_quantities(values: Sequence[Decimal]) -> bool:
    """Whether `check_quantity` accepts all of them, in a fraction of the time that asking for each takes."""
    try:
        # Half of the quantities of most pages are 0.
        for _ in map(Decimal.quantize, filter(None, values), repeat(_SMALLEST_UNIT), repeat(None), repeat(_BOOKS)):
            pass
    except ArithmeticError:
        return False
    return all(map(Decimal.is_finite, values))


def check_price(field: str, value: Decimal) -> None:
    """Raises ValueError unless it is what one share can cost: finite, at most 8 decimals, above 0 and below 10^7."""
    _check_within(field, value, Decimal(0), _PRICE_LIMIT)


def _check_within(field: str, value: Decimal, above: Decimal, below: Decimal) -> None:
    if not value.is_finite():
        raise ValueError(f"{field} is not a finite number")
    if not above < value < below:
        raise ValueError(f"{field} is not above {above:f} and below {below:f}")
    if value != value.quantize(_SMALLEST_UNIT):
        raise ValueError(f"{field} has more than 8 decimals")


def read_rows[R, V](
    client: ServiceClient, rows: list[Raw], row_type: type[R], entry: Callable[[R], tuple[str, V]]
) -> dict[str, V]:
    """The rows of a list by their key, each decoded by itself, so that a bad one costs only what it stands for.

    Equal rows count once. A key that comes with two different values is left out: nobody can say which of them holds.

    Args:
        client: whose answer it is, and whose observer is told of the rows left out.
        rows: the list as received.
        row_type: the Struct of one row.
        entry: key and value of a row; a ValueError refuses the row.

    Raises:
        ServiceError: `BAD_PAYLOAD`, when there are rows and none is usable, or more than `MAX_ROWS`.
    """
    if len(rows) > MAX_ROWS:
        raise ServiceError(client.name, Cause.BAD_PAYLOAD, f"{len(rows)} rows are more than {MAX_ROWS}")
    usable: dict[str, V] = {}
    ambiguous: set[str] = set()
    refused = 0
    reason = ""
    for number, raw in enumerate(rows):
        try:
            key, value = entry(msgspec.json.decode(raw, type=row_type))
        except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
            refused += 1
            reason = reason or f"row {number}: {error}"
            continue
        if usable.setdefault(key, value) != value:
            ambiguous.add(key)
            refused += 1
            reason = reason or f"row {number}: a second value for {key}"
    for key in ambiguous:
        del usable[key]
    if refused and not usable:
        raise ServiceError(client.name, Cause.BAD_PAYLOAD, f"not one usable row of {len(rows)}; {reason}")
    if refused:
        client.observer.rows_rejected(client.name, refused, reason)
    return usable
