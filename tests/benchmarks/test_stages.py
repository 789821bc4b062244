"""How a trace is shared among stages, on traces small enough to do by hand."""

import pytest

from benchmarks.stages import stage_seconds
from tests.harness.collector import Span

MILLISECOND = 1_000_000


def span(name: str, began: int, ended: int, parent: str, **attributes: object) -> Span:
    """A span between two milliseconds; one with attributes calls another process."""
    kind = "SERVER" if name == "request" else "CLIENT" if attributes else "INTERNAL"
    times = (began * MILLISECOND, ended * MILLISECOND)
    return Span(name, "trace", name, parent, kind, *times, failed=False, attributes=attributes, resource={})


def milliseconds(*trace: Span) -> dict[str, float]:
    return {stage: round(1000 * seconds, 6) for stage, seconds in stage_seconds(trace).items()}


def command(name: str, began: int, ended: int, parent: str) -> Span:
    """A command to the database."""
    return span(name, began, ended, parent, **{"db.system.name": "mongodb"})


ONE = (
    span("request", 0, 100, "caller"),
    command("database.find", 5, 10, "request"),
    span("rebalance", 10, 95, "request"),
    command("database.insert", 12, 20, "rebalance"),
    span("portfolio", 20, 70, "rebalance"),
    span("GET", 20, 40, "portfolio", **{"url.full": "/api/v1/balances"}),
    span("wait for solver", 43, 45, "portfolio"),
    span("solve", 45, 60, "portfolio"),
    command("database.update", 75, 90, "rebalance"),
)


def test_one_portfolio_is_cut_where_its_spans_begin_and_end() -> None:
    """Each gap between spans belongs to a named stage."""
    assert milliseconds(*ONE) == {
        "read model": 5,
        "upstream wait": 20,
        "decode, build": 3,
        "queue": 2,
        "solve": 15,
        "record, encode": 15,
        "store": 23,
        "response": 5,
        "other": 12,
    }


def test_stages_add_up_to_the_request() -> None:
    """No time is counted twice or lost."""
    assert sum(milliseconds(*ONE).values()) == pytest.approx(100)


def test_a_moment_is_shared_equally_among_what_goes_on_in_it() -> None:
    """Three portfolios: two wait for the neighbours while the third is solved."""
    portfolios = [span(f"portfolio {number}", 0, 90, "request") for number in range(3)]
    inside = [span(f"GET {number}", 0, 90, f"portfolio {number}", url="balances") for number in range(2)]
    solve = span("solve", 0, 90, "portfolio 2")
    assert milliseconds(span("request", 0, 90, ""), *portfolios, *inside, solve) == {"upstream wait": 60, "solve": 30}


def test_an_unknown_span_is_a_stage_of_its_own_name() -> None:
    """New spans appear without a change of the benchmark."""
    trace = (span("request", 0, 10, ""), span("encode", 0, 10, "request"))
    assert milliseconds(*trace) == {"encode": 10}


def test_what_outlasts_the_request_is_not_counted() -> None:
    """Spans are cut at the end of the request."""
    trace = (span("request", 0, 10, ""), span("GET", 4, 30, "request", url="portfolio names"))
    assert milliseconds(*trace) == {"other": 4, "upstream wait": 6}
