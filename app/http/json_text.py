"""JSON text parsed for the search for faults: numbers as they were written, repeated keys known, large parts unread.

Takes bytes; returns dicts, lists, strings and numbers as text, or says that a text is not JSON, or too much of it.
"""

import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

import msgspec

from app.http.scalars import NumberText

LARGE_BYTES = 64 * 1024
"""Of a part of a body; the elements of its lists are read only if the decoder rejects them."""
_SHORTEST_VALUE_BYTES = 8
_MOST_SHORT_VALUES = 100_000
_MOST_KEYS = 32
_MOST_OTHER_COLONS = 1_000


class JsonObject(dict[str, Any]):
    """A JSON object that knows which of its keys occurred more than once."""

    repeated: tuple[str, ...] = ()


class Unread(bytes):
    """A part of a body that is not parsed yet."""

    __slots__ = ()


class NotJson(ValueError):
    """A body is not JSON; the message says where it cannot be read."""


class _Repeated(Exception):
    """A key occurs twice in an object."""


def has_repeated_keys(body: bytes) -> bool:
    """Return whether any object in a JSON text has a key twice.

    Raises:
        NotJson: it is not JSON, as far as it was read.
    """

    def check(pairs: list[tuple[str, Any]]) -> None:
        if len({key for key, _ in pairs}) < len(pairs):
            raise _Repeated

    try:
        _loaded(body, check, str)
    except _Repeated:
        return True
    return False


def has_too_many_values(body: bytes) -> bool:
    """Return whether a text has more values than any valid body of its length, so that reading it would cost too much.

    A megabyte of `1,1,1` has half a million values, each of which takes a hundred bytes once it is read. In the bodies
    that this service accepts, a value with its name takes at least 10 bytes, except in a few lists of limited length,
    and an object has at most 17 keys.
    """
    objects = body.count(b"{")
    values = body.count(b",") + body.count(b"[") + objects
    return (
        values > _MOST_SHORT_VALUES + len(body) // _SHORTEST_VALUE_BYTES
        or body.count(b":") > _MOST_OTHER_COLONS + _MOST_KEYS * objects
    )


def parse(body: bytes) -> Any:
    """Parse JSON; numbers stay as they were written.

    Raises:
        NotJson: it is not JSON.
    """
    return _loaded(body, _object, NumberText)


def outer_repetitions(body: bytes) -> tuple[str, ...]:
    """Return the keys that the outermost object of a JSON text has more than once; what is inside is not kept.

    Raises:
        NotJson: it is not JSON.
    """
    last: tuple[str, ...] = ()

    def note(pairs: list[tuple[str, Any]]) -> None:
        nonlocal last
        last = _repetitions(pairs)

    _loaded(body, note, len)
    return last


def _loaded(body: bytes, of_pairs: Callable[[list[tuple[str, Any]]], Any], of_number: Callable[[str], Any]) -> Any:
    """Parse JSON; what becomes of objects and numbers is up to the caller."""
    try:
        return json.loads(
            body.decode(),
            object_pairs_hook=of_pairs,
            parse_int=of_number,
            parse_float=of_number,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError:
        raise NotJson("must be JSON in UTF-8") from None
    except json.JSONDecodeError as error:
        if not body.strip():
            raise NotJson("must be JSON; it is empty") from None
        raise NotJson(f"must be JSON; it cannot be read at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise NotJson("must be JSON; it is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    result = JsonObject(pairs)
    if len(result) < len(pairs):
        result.repeated = _repetitions(pairs)
    return result


def _repetitions(pairs: list[tuple[str, Any]]) -> tuple[str, ...]:
    return tuple(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)


def _refuse_constant(name: str) -> NoReturn:
    raise NotJson(f"must be JSON; {name} is not a JSON value")


def outer_part(body: bytes) -> Any:
    """Parse the outermost object or array of a large JSON text; its parts remain unread.

    Raises:
        NotJson: it is not JSON; some faults are noticed only when a part is read.
    """
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        match msgspec.json.decode(body, type=dict[str, msgspec.Raw] | list[msgspec.Raw]):
            case list() as parts:
                return [Unread(part) for part in parts]
            case dict() as named:
                return JsonObject((name, Unread(part)) for name, part in named.items())
    return parse(body)
