"""The two spellings of the API: camelCase as the requirements have it, snake_case as the suite's portal speaks it.

Everything inside is written in the standard dialect. The other is derived from it: the types, so that it is checked as
strictly, and the names in errors.
"""

import inspect
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct

_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")


def snake_case(name: str) -> str:
    """Spell a camelCase name, or a path of them, in snake_case."""
    return _CAPITAL.sub(lambda match: "_" + match[1].lower(), name)


@cache
def in_snake_case(kind: Any) -> Any:
    """Derive a type's snake_case form: of a Struct a subclass, of anything else the same around derived Structs."""
    if inspect.isclass(kind) and issubclass(kind, Struct):
        fields = [
            (field.name, in_snake_case(field.type), msgspec.field(default=field.default))
            if field.default is not NODEFAULT
            else (field.name, in_snake_case(field.type))
            for field in msgspec.structs.fields(kind)
        ]
        return msgspec.defstruct(
            kind.__name__,
            fields,
            bases=(kind,),
            rename=lambda name: name,
            frozen=True,
            forbid_unknown_fields=kind.__struct_config__.forbid_unknown_fields,
        )
    origin, arguments = get_origin(kind), tuple(in_snake_case(argument) for argument in get_args(kind))
    if origin in {Union, UnionType}:
        return Union[arguments]  # noqa: UP007 - built from a tuple
    if origin in {list, dict, tuple}:
        return origin[arguments]
    return kind


class Dialect(StrEnum):
    """How field names are spelled, one setting for the whole process."""

    STANDARD = "standard"
    GLOBECO = "globeco"

    def field_name(self, name: str) -> str:
        """Spell a field's name, or a path of names."""
        return name if self is Dialect.STANDARD else snake_case(name)

    def type_of(self, kind: Any) -> Any:
        """Give the type that a body in this dialect decodes into; its values serve as the standard one's."""
        return kind if self is Dialect.STANDARD else in_snake_case(kind)

    def spell(self, content: object) -> object:
        """Make an answer's content spell its names in this dialect."""
        if self is Dialect.STANDARD:
            return content
        match content:
            case Struct():
                return msgspec.convert(content, in_snake_case(type(content)), from_attributes=True, dec_hook=_as_is)
            case Mapping():
                return {snake_case(str(key)): self.spell(value) for key, value in content.items()}
            case str():
                return content
            case Sequence():
                return [self.spell(value) for value in content]
            case _:
                return content


def _as_is(_: type, value: object) -> object:
    """Pass values through whose type is right already."""
    return value
