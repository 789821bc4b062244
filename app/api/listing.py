"""Paging and sorting, as every listing understands them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from litestar.params import Parameter

from app.dialect import snake_case
from app.errors import InvalidField
from persistence.sorting import SortKey

LARGEST = 2**31 - 1

type Offset = Annotated[int, Parameter(ge=0, le=LARGEST, description="How many to skip.")]
type PageSize = Annotated[int, Parameter(ge=0, le=100, description="How many at most.")]
type Version = Annotated[int, Parameter(ge=1, le=LARGEST, description="The version that is to be deleted.")]
type SortBy = Annotated[
    str | None,
    Parameter(query="sort_by", description="Comma list of fields, each with an optional `+` or `-` for the direction."),
]


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
        name = part.lstrip()
        descending = name.startswith("-")
        name = snake_case(name[1:] if name[:1] in {"+", "-"} else name).strip()
        if name not in fields:
            accepted = ", ".join(fields)
            raise InvalidField("sort_by", f"must be a comma list of {accepted}, each with an optional + or -")
        keys.append(SortKey(fields[name], descending=descending))
    return tuple(keys)
