"""Paging, sorting and versions in the query, as every endpoint understands them."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from litestar.params import QueryParameter

from app.errors.codes import InvalidField
from app.http.dialect import camel_case, snake_case
from persistence import SortKey

LARGEST = 2**31 - 1
"""What is larger is taken for this: no listing is as long, and no version as high."""

_DIGITS = re.compile("[0-9]+")
_ENOUGH_DIGITS = len(str(LARGEST)) + 1
_SORT_KEY = re.compile(r"([+-]?)(\w+)")


class WholeNumber(int):
    """A whole number in a query, written in digits alone.

    Attributes:
        least, most: the range that is accepted; without `most` there is no upper end.
    """

    least: ClassVar[int] = 0
    most: ClassVar[int | None] = None

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what a caller wrote.

        Raises:
            ValueError: it is no whole number, or out of the range.
        """
        if _DIGITS.fullmatch(text):
            digits = text.lstrip("0")[:_ENOUGH_DIGITS]
            value = min(int(digits or "0"), LARGEST)
            if cls.least <= value and (cls.most is None or value <= cls.most):
                return cls(value)
        most = "" if cls.most is None else f" and at most {cls.most}"
        raise ValueError(f"must be a whole number of at least {cls.least}{most}")


class Count(WholeNumber):
    """A number of elements to skip or to return."""


class PageCount(WholeNumber):
    """A number of large elements to return."""

    most = 100


class VersionNumber(WholeNumber):
    """The version of a model or a rebalance."""

    least = 1


def is_whole_number(kind: Any) -> bool:
    """Return whether a parameter's type is read by `read_whole_number`."""
    return isinstance(kind, type) and issubclass(kind, WholeNumber)


def read_whole_number(kind: type[WholeNumber], text: str) -> WholeNumber:
    """Read a parameter."""
    return kind.read(text)


Offset = Annotated[Count, QueryParameter(description="Number of elements to skip.")]
Limit = Annotated[Count | None, QueryParameter(description="Maximum number to return; all of them if absent.")]
PageSize = Annotated[PageCount, QueryParameter(description="Maximum number to return.")]
Version = Annotated[VersionNumber, QueryParameter(description="The version that the caller read.")]


def sorted_by(fields: Mapping[str, object]) -> QueryParameter:
    """Describe a listing's parameter `sort_by`; what the pattern lets through is what `sort_keys` understands."""
    spellings = dict.fromkeys(spelling for field in fields for spelling in (field, camel_case(field)))
    key = f"[ +-]?({'|'.join(spellings)})"
    accepted = ", ".join(f"`{field}`" for field in fields)
    return QueryParameter(
        description=f"Comma-separated list of {accepted}, each with an optional `+` (ascending, the default) or `-`.",
        schema_extra={"pattern": f"^{key}(,{key})*$"},
    )


NO_OFFSET = Count(0)
PAGE_SIZE = PageCount(10)


def sort_keys[Field: StrEnum](sort_by: str | None, fields: Mapping[str, Field]) -> tuple[SortKey[Field], ...]:
    """Read a sort order such as `-name,model_id`.

    Args:
        sort_by: the parameter; a `+` has arrived as a space where the caller did not encode it.
        fields: what can be sorted by, in snake_case; camelCase is understood too.

    Raises:
        InvalidField: naming what is accepted.
    """
    if sort_by is None:
        return ()
    keys = []
    for part in sort_by.split(","):
        key = _SORT_KEY.fullmatch(part.strip())
        field = fields.get(snake_case(key[2])) if key else None
        if key is None or field is None:
            accepted = ", ".join(fields)
            raise InvalidField("sort_by", f"must be a comma-separated list of {accepted}, each with an optional + or -")
        keys.append(SortKey(field, descending=key[1] == "-"))
    return tuple(keys)
