"""Checks that the responses of several services share: identifiers, exact numbers, and long lists read row by row."""

from collections.abc import Callable, Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation
from itertools import repeat
from typing import Annotated

from msgspec import Meta, Raw, Struct

from integrations.http.client import ServiceClient
from integrations.http.errors import Cause, ServiceError

ENTITY_ID = r"^[0-9A-Za-z]{24}\Z"
EntityId = Annotated[str, Meta(pattern=ENTITY_ID)]
"""A security's or portfolio's id: 24 letters or digits."""

Ticker = Annotated[str, Meta(min_length=1, max_length=50)]

MAX_LIST_BYTES = 8 * 1024 * 1024
"""For a whole list of securities or prices: sixty times the suite's; one process reads one of each at a time."""

MAX_ROWS = 50_000
"""A hundred times the suite's securities, and few enough to check without delaying other requests."""

MAX_DECIMALS = 18
NUMBER_LIMIT = Decimal(10**15)
"""Quantities, amounts of money and prices are below it."""

_SMALLEST_UNIT = Decimal(1).scaleb(-MAX_DECIMALS)
_EXACT = Context(prec=15 + MAX_DECIMALS, traps=[Inexact, InvalidOperation])
"""Holds every number within the limits, and raises for every number that it would have to round."""

difference = Context(prec=_EXACT.prec + 1, traps=[Inexact]).subtract
"""Subtracts numbers within the limits without rounding, which Python's default of 28 digits would do."""

_SHOWN_CHARACTERS = 40


def are_entity_ids(texts: Sequence[str]) -> bool:
    """Return whether all texts are 24 ASCII letters or digits."""
    joined = "".join(texts)
    return set(map(len, texts)) <= {24} and (not joined or (joined.isascii() and joined.isalnum()))


def are_within_limits(values: Sequence[Decimal]) -> bool:
    """Return whether no value breaks the limits, in a fraction of the time that `broken_limit` needs for all."""
    try:
        # Half of the quantities of most pages are 0.
        for _ in map(Decimal.quantize, filter(None, values), repeat(_SMALLEST_UNIT), repeat(None), repeat(_EXACT)):
            pass
    except ArithmeticError:
        return False
    return all(map(Decimal.is_finite, values))


def broken_limit(value: Decimal) -> str | None:
    """Return the limit that a number breaks, as a predicate such as `is not below 10^15`; None if it breaks none."""
    if not value.is_finite():
        return "is not a finite number"
    if not value:
        return None
    if not -NUMBER_LIMIT < value < NUMBER_LIMIT:
        return "is not below 10^15"
    return None if are_within_limits((value,)) else f"has more than {MAX_DECIMALS} decimals"


def shown(value: object) -> str:
    """Return a value as text for a message, shortened if it is long."""
    text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


class Rows[V](Struct, frozen=True):
    """A list as read.

    Attributes:
        values: by key, without the keys whose rows contradict each other.
        conflicts: the first two different values of each key whose rows contradict each other.
    """

    values: dict[str, V]
    conflicts: dict[str, tuple[V, V]]


def read_rows[V](client: ServiceClient, rows: list[Raw], read: Callable[[Raw], tuple[str, V]]) -> Rows[V]:
    """Read a list row by row, so that a malformed row affects only what it is about.

    Equal rows count once.

    Args:
        client: the client that received the list; its observer is notified of malformed rows.
        rows: the list as received.
        read: returns the key and the value of a row; a ValueError rejects the row.

    Raises:
        ServiceError: `BAD_PAYLOAD`, if there are rows and all are malformed, or more than `MAX_ROWS`.
    """
    if len(rows) > MAX_ROWS:
        raise ServiceError(client.name, Cause.BAD_PAYLOAD, f"{len(rows)} rows are more than {MAX_ROWS}")
    values: dict[str, V] = {}
    conflicts: dict[str, tuple[V, V]] = {}
    rejected = 0
    reason = ""
    for number, raw in enumerate(rows):
        try:
            key, value = read(raw)
        except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
            rejected += 1
            reason = reason or f"row {number}: {error}"
            continue
        first = values.setdefault(key, value)
        if first != value:
            conflicts.setdefault(key, (first, value))
    if rejected and not values:
        raise ServiceError(client.name, Cause.BAD_PAYLOAD, f"not one usable row of {len(rows)}; {reason}")
    if rejected:
        client.observer.rows_rejected(client.name, rejected, reason)
    for key in conflicts:
        del values[key]
    return Rows(values, conflicts)
