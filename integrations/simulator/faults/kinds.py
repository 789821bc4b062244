"""The kinds of faults, as Python values and, with a `fault` key that names the kind, as JSON."""

import re
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

type Seconds = Annotated[float, Meta(ge=0, le=3600)]


def _kebab(name: str) -> str:
    return re.sub("(?<!^)(?=[A-Z])", "-", name).lower()


class GarbageKind(StrEnum):
    """A successful answer that is not what it claims to be."""

    EMPTY = "empty"
    """No body."""
    HTML = "html"
    """A page of HTML, as a proxy in between would send."""
    TRUNCATED_JSON = "truncated-json"
    """The first half of the right body, with the length of that half."""
    WRONG_TYPES = "wrong-types"
    """The right shape with numbers for texts and texts for numbers."""
    WRONG_SHAPE = "wrong-shape"
    """An array where an object is right, and an object where an array is."""
    DEEP = "deep"
    """A hundred thousand nested arrays."""
    NAN = "nan"
    """Every price, and every quantity of a balance, is NaN."""
    HUGE = "huge"
    """Every price is 1E+400, every quantity of a balance 1E+999999."""
    NEGATIVE_PRICES = "negative-prices"
    """Every price below zero."""
    ZERO_PRICES = "zero-prices"
    """Every price zero."""
    DUPLICATES = "duplicates"
    """Every row of a list twice."""
    ENDLESS_PAGES = "endless-pages"
    """Every page says that another one follows."""
    MILLION_ROWS = "million-rows"
    """The first row of a list a million times, in chunks."""


class CallFault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="fault", tag=_kebab):
    """What all faults of a single call share: which calls they hit.

    Attributes:
        rate: share of the calls that are hit, at random.
        calls: how many calls are hit before the fault pauses; None for all of them.
        pause: how many calls pass unhurt before the next `calls` are hit, again and again: a flapping service.
            0 ends the fault after `calls` calls.
        route: hit only this route, `GET /api/v1/prices`; None for every route of the service.
    """

    rate: Annotated[float, Meta(ge=0, le=1)] = 1.0
    calls: Annotated[int, Meta(ge=1)] | None = None
    pause: Annotated[int, Meta(ge=0)] = 0
    route: str | None = None


class Delay(CallFault, frozen=True, kw_only=True):
    """Wait before going on: with the next fault if there is one, else with the answer.

    Attributes:
        seconds: how long.
        up_to: when given, uniform between `seconds` and this.
    """

    seconds: Seconds
    up_to: Seconds | None = None


class ErrorStatus(CallFault, frozen=True, kw_only=True):
    """Answer with a status and do nothing else; `retry_after` is sent as the `Retry-After` header, seconds or date."""

    status: Annotated[int, Meta(ge=200, le=599)] = 500
    retry_after: int | str | None = None


class Hang(CallFault, frozen=True, kw_only=True):
    """Take the call and never answer it."""


class HangMidBody(CallFault, frozen=True, kw_only=True):
    """Do what was asked, send the head and half of the body, and never the rest."""


class SlowBody(CallFault, frozen=True, kw_only=True):
    """Send the body at this speed."""

    bytes_per_second: Annotated[float, Meta(gt=0)]


class Garbage(CallFault, frozen=True, kw_only=True):
    """Do what was asked and answer nonsense with the status of success in place of any JSON."""

    kind: GarbageKind


class Reset(CallFault, frozen=True, kw_only=True):
    """Reset the connection: before anything was done, or after it was done and half of the body sent.

    A client that finds a kept connection reset may repeat an idempotent call at once and unasked, as aiohttp does; with
    `calls=1` it then never tells.
    """

    mid_body: bool = False


class Refuse(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="fault", tag=_kebab):
    """Close the listening port and every connection, so that connecting is refused until the fault is removed."""


type Fault = Delay | ErrorStatus | Hang | HangMidBody | SlowBody | Garbage | Reset | Refuse
