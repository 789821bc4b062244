"""JSON values without parts, decoded strictly, in this service's words: strings, numbers, choices and moments.

Takes a parsed value and the description of its type; returns the value, or raises `WrongType` or ValueError.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import inspect

_WITH_OFFSET = Annotated[datetime, msgspec.Meta(tz=True)]
_INTEGER = re.compile("-?[0-9]{1,19}")


class NumberText(str):
    """A JSON number as it was written."""

    __slots__ = ()


class WrongType(Exception):
    """A value has another JSON type than expected."""

    def __init__(self, expected: str) -> None:
        self.expected = expected


def decoded(value: Any, kind: inspect.Type, decode_custom: Callable[[type, object], object]) -> Any:
    """Decode a value that has no parts.

    Raises:
        WrongType: it has another JSON type.
        ValueError: it breaks a rule.
    """
    match kind:
        case inspect.CustomType(cls=cls):
            if not isinstance(value, str):
                raise WrongType("a number, or a string that holds one")
            return decode_custom(cls, str(value))
        case inspect.IntType():
            return _integer(value, kind)
        case inspect.BoolType():
            if not isinstance(value, bool):
                raise WrongType("true or false")
            return value
        case inspect.LiteralType(values=choices):
            return _choice(value, {choice: choice for choice in choices})
        case inspect.EnumType(cls=enumeration):
            return _choice(value, {member.value: member for member in enumeration})
        case inspect.StrType() | inspect.DateTimeType():
            if not isinstance(value, str) or isinstance(value, NumberText):
                raise WrongType("a string")
            return _moment(value) if isinstance(kind, inspect.DateTimeType) else _text(value, kind)
        case _:
            return value


def _choice(value: Any, choices: Mapping[Any, Any]) -> Any:
    if isinstance(value, NumberText | list | dict) or value not in choices:
        raise ValueError(f"must be {' or '.join(json.dumps(choice) for choice in choices)}")
    return choices[value]


def _integer(value: Any, kind: inspect.IntType) -> int:
    if not isinstance(value, NumberText) or not _INTEGER.fullmatch(value):
        if isinstance(value, NumberText):
            raise ValueError("must be a whole number")
        raise WrongType("a whole number")
    number = int(value)
    least = kind.ge if kind.ge is not None else None if kind.gt is None else kind.gt + 1
    most = kind.le if kind.le is not None else None if kind.lt is None else kind.lt - 1
    if least is not None and number < least:
        raise ValueError(f"must be at least {least}")
    if most is not None and number > most:
        raise ValueError(f"must be at most {most}")
    return number


def _text(text: str, kind: inspect.StrType) -> str:
    if kind.min_length is not None and len(text) < kind.min_length:
        raise ValueError(f"must have at least {kind.min_length} characters")
    if kind.max_length is not None and len(text) > kind.max_length:
        raise ValueError(f"must have at most {kind.max_length} characters")
    if kind.pattern is not None and not re.search(kind.pattern, text):
        raise ValueError(f"must match {kind.pattern}")
    return text


def _moment(text: str) -> datetime:
    try:
        return msgspec.convert(text, _WITH_OFFSET)
    except msgspec.ValidationError:
        raise ValueError("must be an ISO 8601 date-time with its offset, such as 2026-11-27T12:00:00Z") from None
