"""The shapes of ids, checked before anything is read or asked."""

import re
from collections.abc import Iterator

from bson import ObjectId

from app.errors.codes import InvalidField

OBJECT_ID_PATTERN = r"^[0-9a-fA-F]{24}$"
EXTERNAL_ID_PATTERN = r"^[0-9A-Za-z]{24}$"
OPTIMIZATION_ID_PATTERN = r"^[A-Za-z0-9._-]{1,64}$"
_OBJECT_ID = re.compile(OBJECT_ID_PATTERN[1:-1])
_EXTERNAL_ID = re.compile(EXTERNAL_ID_PATTERN[1:-1])
_TICKER = re.compile(r"[A-Z][A-Z0-9]{0,5}([./-][A-Z0-9]{1,3})?")
_OPTIMIZATION_ID = re.compile(OPTIMIZATION_ID_PATTERN[1:-1])


def object_id(field: str, value: str) -> ObjectId:
    """Read the id of a model or a rebalance.

    Raises:
        InvalidField: it is not 24 hexadecimal characters.
    """
    if not _OBJECT_ID.fullmatch(value):
        raise InvalidField(field, "must be 24 hexadecimal characters")
    return ObjectId(value)


def external_id(field: str, value: str) -> str:
    """Check the id of a security or a portfolio, which other services own.

    Raises:
        InvalidField: it is not 24 letters or digits.
    """
    for fault in external_id_faults(field, value):
        raise fault
    return value


def external_id_faults(field: str, value: str) -> Iterator[InvalidField]:
    """Yield what is wrong with the id of a security or a portfolio."""
    if not _EXTERNAL_ID.fullmatch(value):
        hint = f"; {value} looks like a ticker: send the id of the security" if _TICKER.fullmatch(value) else ""
        yield InvalidField(field, f"must be 24 letters or digits{hint}")


def optimization_id(field: str, value: str) -> str:
    """Check an id of a stateless optimisation, which the caller chooses.

    Raises:
        InvalidField: it is not 1 to 64 letters, digits, dots, underscores or hyphens.
    """
    if not _OPTIMIZATION_ID.fullmatch(value):
        raise InvalidField(field, "must be 1 to 64 characters from A-Z a-z 0-9 . _ -")
    return value
