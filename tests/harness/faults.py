"""The faults of the upstreams: how the simulator is switched to each, and what must come of it.

Tests of the clients meet every fault. Tests of the whole service meet the first fault with each result, and all of
them in slow tests.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

from integrations import OrderOutcome
from integrations.simulator import (
    Creation,
    Delay,
    ErrorStatus,
    Fault,
    Garbage,
    GarbageKind,
    Hang,
    HangMidBody,
    OrderFault,
    OrderResponse,
    Refuse,
    Repeat,
    Reset,
    Service,
    SlowBody,
)

ACCOUNTING, PRICING, SECURITY = REQUIRED = (Service.PORTFOLIO_ACCOUNTING, Service.PRICING, Service.SECURITY)
"""The services without which no portfolio is rebalanced."""


class Result(StrEnum):
    """What comes of a portfolio while an upstream that it needs has a fault."""

    RIGHT = "right"
    """Its data are complete and true."""
    EITHER = "either"
    """They are, or the upstream has failed: the fault comes and goes."""
    TIMEOUT = "timeout"
    """The upstream has failed with this cause; likewise the next three."""
    CONNECTION = "connection"
    STATUS = "status"
    BAD_PAYLOAD = "bad_payload"
    BOOKS_INVALID = "BOOKS_INVALID"
    """The portfolio has failed with this error code, which names the upstream; a retry does not help."""
    PRICE_UNAVAILABLE = "PRICE_UNAVAILABLE"
    """The portfolio has failed with this error code, which names securities; a retry does not help."""

    @property
    def is_cause(self) -> bool:
        """Whether the upstream has failed, and this is its cause."""
        return self in {Result.TIMEOUT, Result.CONNECTION, Result.STATUS, Result.BAD_PAYLOAD}


class UpstreamFault(Struct, frozen=True):
    """A fault of one upstream.

    Attributes:
        name: of the fault, in the ids of tests.
        fault: what the simulator is switched to.
        result: what must come of it.
        exceptions: other results, if the required services differ.
    """

    name: str
    fault: Fault
    result: Result
    exceptions: Mapping[Service, Result] = {}

    def result_of(self, service: Service) -> Result:
        """Return what must come of the fault if this required service has it."""
        return self.exceptions.get(service, self.result)


def _status(status: int) -> UpstreamFault:
    return UpstreamFault(str(status), ErrorStatus(status=status), Result.STATUS)


def _garbage(kind: GarbageKind, result: Result, **exceptions: Result) -> UpstreamFault:
    """Return the row of a kind of garbage; exceptions are named as the members of `Service`."""
    by_service = {Service[name.upper()]: other for name, other in exceptions.items()}
    return UpstreamFault(kind.value, Garbage(kind=kind), result, by_service)


# The first fault with each result is the one that damages most, or is the quickest.
UPSTREAM_FAULTS = (
    UpstreamFault("every response twice, at once", Repeat(seconds=0.001), Result.RIGHT),
    UpstreamFault("every response twice, later", Repeat(seconds=0.05), Result.RIGHT),
    UpstreamFault("slow", Delay(seconds=0.05, up_to=0.2), Result.RIGHT),
    UpstreamFault("hangs in the middle of a body", HangMidBody(), Result.TIMEOUT),
    UpstreamFault("hangs", Hang(), Result.TIMEOUT),
    UpstreamFault("slow body", SlowBody(bytes_per_second=50), Result.TIMEOUT),
    UpstreamFault("resets in the middle of a body", Reset(mid_body=True), Result.CONNECTION),
    UpstreamFault("resets", Reset(), Result.CONNECTION),
    UpstreamFault("refuses", Refuse(), Result.CONNECTION),
    _status(500),
    UpstreamFault("503 with Retry-After", ErrorStatus(status=503, retry_after=3600), Result.STATUS),
    *(_status(status) for status in (302, 400, 404, 429)),
    UpstreamFault("503 now and then", ErrorStatus(status=503, rate=0.5), Result.EITHER),
    UpstreamFault("502 twice, then well once", ErrorStatus(status=502, calls=2, pause=1), Result.EITHER),
    _garbage(GarbageKind.WRONG_SHAPE, Result.BAD_PAYLOAD),
    _garbage(GarbageKind.EMPTY, Result.BAD_PAYLOAD),
    UpstreamFault("204", ErrorStatus(status=204), Result.BAD_PAYLOAD),
    _garbage(GarbageKind.HTML, Result.BAD_PAYLOAD),
    _garbage(GarbageKind.TRUNCATED_JSON, Result.BAD_PAYLOAD),
    _garbage(GarbageKind.WRONG_TYPES, Result.BAD_PAYLOAD),
    _garbage(GarbageKind.DEEP, Result.BAD_PAYLOAD),
    _garbage(GarbageKind.MILLION_ROWS, Result.BAD_PAYLOAD),
    _garbage(GarbageKind.NAN, Result.BAD_PAYLOAD, security=Result.RIGHT),
    _garbage(GarbageKind.HUGE, Result.BOOKS_INVALID, security=Result.RIGHT),
    _garbage(GarbageKind.DUPLICATES, Result.RIGHT, portfolio_accounting=Result.BOOKS_INVALID),
    _garbage(GarbageKind.ENDLESS_PAGES, Result.RIGHT, portfolio_accounting=Result.BAD_PAYLOAD),
    _garbage(GarbageKind.NEGATIVE_PRICES, Result.RIGHT, pricing=Result.PRICE_UNAVAILABLE),
    _garbage(GarbageKind.ZERO_PRICES, Result.RIGHT, pricing=Result.PRICE_UNAVAILABLE),
)  # fmt: skip
"""Every fault of the upstreams that a rebalance needs."""


def one_for_each_result(service: Service) -> Iterator[UpstreamFault]:
    """Yield the first fault with each result that is certain, if this service has it."""
    found = {Result.EITHER}
    for row in UPSTREAM_FAULTS:
        result = row.result_of(service)
        if result not in found:
            found.add(result)
            yield row


ORDER_POST, ORDER_QUERY = "POST /api/v1/orders", "GET /api/v1/orders"
CREATED, UNKNOWN = OrderOutcome.CREATED, OrderOutcome.UNKNOWN


class PostFault(Struct, frozen=True):
    """A fault of a post of orders.

    Attributes:
        name: of the fault.
        fault: what the simulator is switched to.
        outcomes: what is certain about two orders after their post; empty if clearly neither was created.
    """

    name: str
    fault: OrderFault | ErrorStatus | Garbage | Reset
    outcomes: tuple[OrderOutcome, ...]


def _hidden(name: str, responds: OrderResponse, first: OrderOutcome, second: OrderOutcome, **more: Any) -> PostFault:
    """Return the row of a post whose response hides what became of its orders."""
    return PostFault(name, OrderFault(responds=responds, **more), (first, second))


_LATER, _NO = Creation.LATER, Creation.NO
POST_FAULTS = (
    _hidden("cut before the response, created", OrderResponse.CUT_BEFORE, UNKNOWN, UNKNOWN),
    _hidden("cut before the response, not created", OrderResponse.CUT_BEFORE, UNKNOWN, UNKNOWN, creates=_NO),
    _hidden("cut before the response, half created", OrderResponse.CUT_BEFORE, UNKNOWN, UNKNOWN, creates=_NO, every=2),
    _hidden("cut before the response, created a little later", OrderResponse.CUT_BEFORE, UNKNOWN, UNKNOWN,
            creates=_LATER, later_seconds=0.3),
    _hidden("cut within the response", OrderResponse.CUT_DURING, UNKNOWN, UNKNOWN),
    _hidden("cut after the response", OrderResponse.CUT_AFTER, CREATED, CREATED),
    PostFault("cut before anything was done", Reset(route=ORDER_POST), (UNKNOWN, UNKNOWN)),
    _hidden("requestIndex -1, created", OrderResponse.MINUS_ONE, UNKNOWN, CREATED, every=2),
    _hidden("requestIndex -1, not created", OrderResponse.MINUS_ONE, UNKNOWN, CREATED, creates=_NO, every=2),
    _hidden("requestIndex -1, created a little later", OrderResponse.MINUS_ONE, UNKNOWN, CREATED,
            creates=_LATER, every=2, later_seconds=0.3),
    _hidden("short response, created", OrderResponse.SHORT, UNKNOWN, CREATED, every=2),
    _hidden("no results at all, created", OrderResponse.SHORT, UNKNOWN, UNKNOWN),
    _hidden("short response, not created", OrderResponse.SHORT, UNKNOWN, CREATED, creates=_NO, every=2),
    _hidden("transient failure, created", OrderResponse.FAILURE, UNKNOWN, CREATED, every=2),
    _hidden("transient failure, not created", OrderResponse.FAILURE, UNKNOWN, CREATED, creates=_NO, every=2),
    _hidden("500 after some were created", OrderResponse.ERROR, UNKNOWN, UNKNOWN, creates=_NO, every=2),
    PostFault("overload", OrderFault(responds=OrderResponse.OVERLOAD), ()),
    _hidden("no response, created", OrderResponse.HANG, UNKNOWN, UNKNOWN),
    _hidden("response later than the timeout", OrderResponse.NORMAL, UNKNOWN, UNKNOWN, delay_seconds=3),
    PostFault("503", ErrorStatus(status=503, route=ORDER_POST), (UNKNOWN, UNKNOWN)),
    PostFault("429", ErrorStatus(status=429, route=ORDER_POST), (UNKNOWN, UNKNOWN)),
    PostFault("400", ErrorStatus(status=400, route=ORDER_POST), ()),
    PostFault("HTML after creation", Garbage(kind=GarbageKind.HTML, route=ORDER_POST), (UNKNOWN, UNKNOWN)),
    PostFault("empty after creation", Garbage(kind=GarbageKind.EMPTY, route=ORDER_POST), (UNKNOWN, UNKNOWN)),
    PostFault("truncated after creation", Garbage(kind=GarbageKind.TRUNCATED_JSON, route=ORDER_POST),
              (UNKNOWN, UNKNOWN)),
)  # fmt: skip
"""Every fault of a post: each order must exist once in the end."""

QUERY_FAULTS: Mapping[str, ErrorStatus | Garbage | Reset | Hang] = {
    "404": ErrorStatus(status=404, route=ORDER_QUERY),
    "500": ErrorStatus(status=500, route=ORDER_QUERY),
    "wrong shape": Garbage(kind=GarbageKind.WRONG_SHAPE, route=ORDER_QUERY),
    "wrong types": Garbage(kind=GarbageKind.WRONG_TYPES, route=ORDER_QUERY),
    "empty": Garbage(kind=GarbageKind.EMPTY, route=ORDER_QUERY),
    "duplicates": Garbage(kind=GarbageKind.DUPLICATES, route=ORDER_QUERY),
    "resets": Reset(route=ORDER_QUERY),
    "hangs": Hang(route=ORDER_QUERY),
}
"""Every fault of a query for orders by name: it must prove nothing."""
