"""Every fault of a request's body at once, with its path and in this service's words.

The decoder stops at the first fault and uses its own words, so a body that it rejects is read again here, against the
same types. Takes the body and the type it should have; yields `InvalidField` with JSON paths in the dialect's spelling.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from functools import cache
from typing import Any, Final, NoReturn

import msgspec
from msgspec import inspect

from app.errors.codes import InvalidField, InvalidFields
from app.http.dialect import Dialect, camel_case
from app.http.scalars import NumberText, WrongType, decoded

MOST_FAULTS = 20
_LONGEST_NAME = 100
_INVALID: Final = object()


class _Object(dict[str, Any]):
    """A JSON object that knows which of its keys occurred more than once."""

    repeated: tuple[str, ...] = ()


class _Incomplete(list[Any]):
    """A list whose invalid elements are None."""


class NotJson(ValueError):
    """A body is not JSON; the message says where it cannot be read."""


class _Enough(Exception):
    """As many faults were found as are reported."""


def has_repeated_keys(body: bytes) -> bool:
    """Return whether any object in a JSON text has a key twice."""

    def check(pairs: list[tuple[str, Any]]) -> None:
        if len({key for key, _ in pairs}) < len(pairs):
            raise _Enough

    try:
        json.loads(body, object_pairs_hook=check, parse_int=str, parse_float=str)
    except _Enough:
        return True
    return False


def find_faults(
    body: bytes, kind: Any, dialect: Dialect, decode_custom: Callable[[type, object], object]
) -> list[InvalidField]:
    """Return the first faults of a body.

    Args:
        body: JSON text.
        kind: the type it should have, in the standard dialect.
        dialect: how the body spells names.
        decode_custom: decodes a value of a type that is not one of JSON's, or raises ValueError.

    Raises:
        NotJson: it is not JSON.
    """
    reader = _Reader(dialect, decode_custom)
    with suppress(_Enough):
        reader.read(parse(body), _described(kind), "")
    return reader.faults


def parse(body: bytes) -> Any:
    """Parse JSON; numbers stay as they were written.

    Raises:
        NotJson: it is not JSON.
    """
    try:
        return json.loads(
            body.decode(),
            object_pairs_hook=_object,
            parse_int=NumberText,
            parse_float=NumberText,
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


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    result = _Object(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        result.repeated = tuple(key for key in result if keys.count(key) > 1)
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise NotJson(f"must be JSON; {name} is not a JSON value")


@cache
def _described(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


def field_faults(
    checks: Mapping[str, Callable[[str, Any], object]], fields: Mapping[str, Any]
) -> Iterator[InvalidField]:
    """Yield what checks of single fields raise; those that could not be read are absent.

    Args:
        checks: by attribute; each is called with the field's name in the API and its value.
        fields: values by attribute.
    """
    for name, check in checks.items():
        if name in fields:
            try:
                check(camel_case(name), fields[name])
            except InvalidField as fault:
                yield fault


class _Reader:
    """Reads a parsed body against a type and collects the faults."""

    def __init__(self, dialect: Dialect, decode_custom: Callable[[type, object], object]) -> None:
        self._dialect = dialect
        self._decode_custom = decode_custom
        self.faults: list[InvalidField] = []

    def read(self, value: Any, kind: inspect.Type, path: str) -> Any:
        """Return a value as its type; `_INVALID` if it has faults, which are collected."""
        match kind:
            case inspect.Metadata(type=inner):
                return self.read(value, inner, path)
            case inspect.UnionType(types=kinds):
                return self._union(value, kinds, path)
            case inspect.StructType():
                return self._struct(value, kind, path)
            case inspect.ListType() | inspect.VarTupleType():
                return self._list(value, kind, path)
            case inspect.DictType(value_type=inner):
                return self._dict(value, inner, path)
            case _:
                return self._scalar(value, kind, path)

    def _union(self, value: Any, kinds: Iterable[inspect.Type], path: str) -> Any:
        others = [kind for kind in kinds if not isinstance(kind, inspect.NoneType)]
        if value is None and len(others) < len(tuple(kinds)):
            return None
        for kind in others[:-1]:
            attempt = _Reader(self._dialect, self._decode_custom)
            result = attempt.read(value, kind, path)
            if not attempt.faults:
                return result
        return self.read(value, others[-1], path)

    def _struct(self, value: Any, kind: inspect.StructType, path: str) -> Any:
        if not isinstance(value, _Object):
            return self._wrong(value, "a JSON object", path)
        before = len(self.faults)
        fields = {self._dialect.field_name(field.encode_name): field for field in kind.fields}
        for key in value.repeated:
            self._add(_joined(path, key), "occurs more than once")
        read: dict[str, Any] = {}
        for name, field in fields.items():
            if name in value:
                read[field.name] = self.read(value[name], field.type, _joined(path, name))
            elif field.required:
                self._add(_joined(path, name), "is required")
        if kind.forbid_unknown_fields:
            for key in value.keys() - fields.keys():
                self._add(_joined(path, key), f"is not a field of this request{_similar(key, fields)}")
        self._rules(kind.cls, read, path)
        return _INVALID if len(self.faults) > before else kind.cls(**read)

    def _rules(self, cls: type[msgspec.Struct], read: Mapping[str, Any], path: str) -> None:
        """Check the rules of a type, as far as its fields could be read."""
        valid = {name: value for name, value in read.items() if value is not _INVALID}
        if faults := getattr(cls, "faults", None):
            broken: Iterable[InvalidField] = faults(valid)
        elif not _is_complete(cls, read, valid):
            return
        else:
            broken = ()
            try:
                cls(**valid)
            except InvalidFields as error:
                broken = error.faults
            except InvalidField as error:
                broken = (error,)
        for fault in broken:
            self._add(_joined(path, self._dialect.field_name(fault.field)), fault.rule)

    def _list(self, value: Any, kind: inspect.ListType | inspect.VarTupleType, path: str) -> Any:
        if not isinstance(value, list):
            return self._wrong(value, "an array", path)
        if kind.max_length is not None and len(value) > kind.max_length:
            self._add(path, f"must have at most {kind.max_length} elements")
            return _INVALID
        if kind.min_length is not None and len(value) < kind.min_length:
            self._add(path, f"must have at least {kind.min_length} elements")
            return _INVALID
        before = len(self.faults)
        elements = [self.read(element, kind.item_type, f"{path}[{place}]") for place, element in enumerate(value)]
        if len(self.faults) == before:
            return elements
        # Rules that join elements still check the others, if they are written for that.
        return _Incomplete(None if element is _INVALID else element for element in elements)

    def _dict(self, value: Any, inner: inspect.Type, path: str) -> Any:
        if not isinstance(value, _Object):
            return self._wrong(value, "a JSON object", path)
        for key in value.repeated:
            self._add(_joined(path, key), "occurs more than once")
        read = {key: self.read(each, inner, _joined(path, key)) for key, each in value.items()}
        return _INVALID if _INVALID in read.values() else read

    def _scalar(self, value: Any, kind: inspect.Type, path: str) -> Any:
        try:
            return decoded(value, kind, self._decode_custom)
        except WrongType as wrong:
            return self._wrong(value, wrong.expected, path)
        except ValueError as error:
            self._add(path, str(error))
            return _INVALID

    def _wrong(self, value: Any, expected: str, path: str) -> Any:
        self._add(path, f"must be {expected}, not {_named(value)}")
        return _INVALID

    def _add(self, path: str, rule: str) -> None:
        self.faults.append(InvalidField(path or "body", rule))
        if len(self.faults) >= MOST_FAULTS:
            raise _Enough


def _is_complete(cls: type[msgspec.Struct], read: Mapping[str, Any], valid: Mapping[str, Any]) -> bool:
    """Return whether every field that is required or present could be read, with all its elements."""
    needed = [field.name for field in msgspec.structs.fields(cls) if field.required or field.name in read]
    return all(name in valid and not isinstance(valid[name], _Incomplete) for name in needed)


def _named(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case NumberText():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def _joined(path: str, name: str) -> str:
    return f"{path}.{name[:_LONGEST_NAME]}" if path else name[:_LONGEST_NAME]


def _similar(name: str, fields: Iterable[str]) -> str:
    known = {field.lower(): field for field in fields}
    close = get_close_matches(name[:_LONGEST_NAME].lower(), known, 1)
    return f"; did you mean {known[close[0]]}?" if close else ""
