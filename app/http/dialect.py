"""The two spellings of the API: camelCase as the requirements have it, snake_case as the suite's portal speaks it.

Everything inside is written in the standard dialect. The other is derived from it: the types, so that it is checked as
strictly, and the names in errors.
"""

import inspect
import re
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct

from app.errors.codes import Details

_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")


def snake_case(name: str) -> str:
    """Spell a camelCase name, or a path of them, in snake_case."""
    return _CAPITAL.sub(lambda match: "_" + match[1].lower(), name)


def camel_case(name: str) -> str:
    """Spell a snake_case name in camelCase."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def in_snake_case(kind: Any) -> Any:
    """Derive a type's snake_case form: of a Struct a subclass, of anything else the same around derived Structs."""
    if kind == Details:
        return dict[str, object]
    if inspect.isclass(kind) and issubclass(kind, Struct):
        return _struct_in_snake_case(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return Annotated[in_snake_case(arguments[0]), *arguments[1:]]
    if origin in {Union, UnionType}:
        return Union[tuple(in_snake_case(each) for each in arguments)]  # noqa: UP007 - built from a tuple
    if origin is list:
        return list[in_snake_case(arguments[0])]  # type: ignore[misc]
    return kind


@cache
def _struct_in_snake_case(kind: type[Struct]) -> type[Struct]:
    fields = msgspec.structs.fields(kind)
    return msgspec.defstruct(
        kind.__name__,
        [(field.name, in_snake_case(field.type), msgspec.field(default=field.default)) for field in fields],
        bases=(kind,),
        namespace={"__doc__": kind.__doc__},
        rename=lambda name: name,
        frozen=True,
        # Only requests have defaults, and only responses are built from a row of values.
        kw_only=any(field.default is not NODEFAULT for field in fields),
        forbid_unknown_fields=kind.__struct_config__.forbid_unknown_fields,
    )


@cache
def _nested(kind: type[Struct]) -> tuple[int, ...]:
    """Return the places of the fields that have names of their own."""
    types = [field.type for field in msgspec.structs.fields(kind)]
    return tuple(place for place, each in enumerate(types) if in_snake_case(each) != each)


class Dialect(StrEnum):
    """How field names are spelled, one setting for the whole process."""

    STANDARD = "standard"
    GLOBECO = "globeco"

    def field_name(self, name: str) -> str:
        """Spell a field's name, or a path of names."""
        return name if self is Dialect.STANDARD else snake_case(name)

    def type_of(self, kind: Any) -> Any:
        """Return the type that a body in this dialect decodes into, or encodes from."""
        return kind if self is Dialect.STANDARD else in_snake_case(kind)

    def understand[T](self, body: object, kind: type[T]) -> T:
        """Convert a decoded body of the type that `type_of` returned to the standard type."""
        understood = body if self is Dialect.STANDARD else _understood(body)
        return msgspec.convert(understood, kind, from_attributes=True, dec_hook=lambda _, value: value)

    def spell(self, content: object) -> object:
        """Spell the names of a response's content in this dialect."""
        return content if self is Dialect.STANDARD else _spelled(content)


def _understood(content: object) -> object:
    """Rebuild derived structs as the standard ones, with unset fields, which `msgspec.convert` rejects.

    The names in a mapping, such as the details of an error, become those of the standard dialect.
    """
    match content:
        case Struct():
            standard = type(content).__bases__[0]
            names = content.__struct_fields__
            return standard(**{name: _understood(getattr(content, name)) for name in names})
        case dict():
            return {camel_case(name): _understood(value) for name, value in content.items()}
        case list():
            return [_understood(value) for value in content]
        case _:
            return content


def _spelled(content: object) -> object:
    match content:
        case Struct():
            # The values are taken over as they are, exact numbers among them; only names change.
            values = list(msgspec.structs.astuple(content))
            for place in _nested(type(content)):
                values[place] = _spelled(values[place])
            return _struct_in_snake_case(type(content))(*values)
        case dict():
            return {snake_case(name): _spelled(value) for name, value in content.items()}
        case list():
            return [_spelled(value) for value in content]
        case _:
            return content
