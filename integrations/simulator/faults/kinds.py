"""The kinds of faults, as Python values and, with a `fault` key that names the kind, as JSON."""

import re
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

type Seconds = Annotated[float, Meta(ge=0, le=3600)]


def _kebab(name: str) -> str:
    return re.sub("(?<!^)(?=[A-Z])", "-", name).lower()


class GarbageKind(StrEnum):
    """A successful reply that is not what it claims to be."""

    EMPTY = "empty"
    """No body."""
    HTML = "html"
    """A page of HTML, as a proxy in between would send."""
    TRUNCATED_JSON = "truncated-json"
    """The first half of the right body, with the length of that half."""
    WRONG_TYPES = "wrong-types"
    """The right shape with numbers for texts and texts for numbers."""
    WRONG_SHAPE = "wrong-shape"
    """An array instead of an object, and an object instead of an array."""
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
        pause: how many calls pass before the next `calls` are hit, repeatedly: a flapping service.
            0 ends the fault after `calls` calls.
        route: hit only this route, `GET /api/v1/prices`; None for every route of the service.
    """

    rate: Annotated[float, Meta(ge=0, le=1)] = 1.0
    calls: Annotated[int, Meta(ge=1)] | None = None
    pause: Annotated[int, Meta(ge=0)] = 0
    route: str | None = None


class Delay(CallFault, frozen=True, kw_only=True):
    """Wait before going on: with the next fault if there is one, otherwise with the reply.

    Attributes:
        seconds: how long.
        up_to: if set, uniform between `seconds` and this.
    """

    seconds: Seconds
    up_to: Seconds | None = None


class ErrorStatus(CallFault, frozen=True, kw_only=True):
    """Respond with a status and do nothing else; `retry_after` is sent as the `Retry-After` header, seconds or date."""

    status: Annotated[int, Meta(ge=200, le=599)] = 500
    retry_after: int | str | None = None


class Hang(CallFault, frozen=True, kw_only=True):
    """Accept the call and never reply."""


class HangMidBody(CallFault, frozen=True, kw_only=True):
    """Carry out the call, and send the head and half of the body, but never the rest."""


class SlowBody(CallFault, frozen=True, kw_only=True):
    """Send the body at this speed."""

    bytes_per_second: Annotated[float, Meta(gt=0)]


class Repeat(CallFault, frozen=True, kw_only=True):
    """Send the response, and the same bytes once more after a time, as a faulty proxy does.

    On a connection that the client reuses, the copy arrives as the response to its next request.

    Attributes:
        seconds: from the response to its copy.
    """

    seconds: Seconds


class Garbage(CallFault, frozen=True, kw_only=True):
    """Carry out the call, and replace any JSON by garbage with the status of success."""

    kind: GarbageKind


class Reset(CallFault, frozen=True, kw_only=True):
    """Reset the connection: before anything was done, or after it was done and half of the body sent.

    A client that finds a kept connection reset may repeat an idempotent call at once, as aiohttp does; with
    `calls=1` the caller then does not see the reset.
    """

    mid_body: bool = False


class OrderResponse(StrEnum):
    """How the Order Service responds to a post of orders."""

    NORMAL = "normal"
    """The result of each order; one that was not created fails with the fault's message."""
    FAILURE = "failure"
    """The affected orders are reported as failures with the fault's message, created or not."""
    MINUS_ONE = "minus-one"
    """The affected orders are reported as failures with `requestIndex` -1."""
    SHORT = "short"
    """The results of the affected orders are missing."""
    ERROR = "error"
    """500 for the whole post, with the fault's message and `totalReceived` 0."""
    OVERLOAD = "overload"
    """500 for the whole post, with the overload message; nothing is created."""
    CUT_BEFORE = "cut-before"
    """The connection is reset before the first byte of the response."""
    CUT_DURING = "cut-during"
    """The connection is reset after half of the response."""
    CUT_AFTER = "cut-after"
    """The connection is closed after the whole response."""
    HANG = "hang"
    """No response."""


class Creation(StrEnum):
    """Whether the orders that a fault affects are created."""

    YES = "yes"
    NO = "no"
    LATER = "later"


class OrderFault(CallFault, frozen=True, kw_only=True):
    """A post of orders whose response does not show what was created; `route` is that of the post and stays so.

    Attributes:
        responds: how the Order Service responds.
        creates: whether it creates the affected orders; all others are created as usual.
        every: of the orders that are affected, every n-th: 1 affects all of them, 2 the first, third, fifth ...
        order_type: only orders of this type are affected.
        later_seconds: how long after the call orders are created with `later`.
        delay_seconds: how long the response takes once the orders are created.
        message: of affected orders, or of the whole response.
    """

    route: str | None = "POST /api/v1/orders"
    responds: OrderResponse = OrderResponse.NORMAL
    creates: Creation = Creation.YES
    every: Annotated[int, Meta(ge=1)] = 1
    order_type: int | None = None
    later_seconds: Seconds = 1.0
    delay_seconds: Seconds = 0.0
    message: str = "System overloaded - database operation timeout"


class LostStatus(CallFault, frozen=True, kw_only=True):
    """A batch submission that sends the trades, loses the orders' new status and returns 500."""

    route: str | None = "POST /api/v1/orders/batch/submit"


class Refuse(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="fault", tag=_kebab):
    """Close the listening port and every connection, so that connecting is refused until the fault is removed."""


type Fault = (
    Delay | ErrorStatus | Hang | HangMidBody | SlowBody | Repeat | Garbage | Reset | OrderFault | LostStatus | Refuse
)
