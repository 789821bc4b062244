"""All upstreams together, as a rebalance meets them: five real servers, well and ill."""

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from aiohttp import web
from msgspec.structs import replace

from integrations.http.client import ServiceSettings, forwarded_headers
from integrations.http.errors import BooksInvalid, Cause, ServiceError
from integrations.market_data import Quote
from integrations.portfolio_accounting import Holdings
from integrations.simulator import (
    Delay,
    ErrorStatus,
    Fault,
    Hang,
    Refuse,
    Service,
    Simulator,
    SimulatorSettings,
    SpecialCase,
    running_simulator,
)
from integrations.simulator import Holdings as SimulatedHoldings
from integrations.upstreams import Upstreams, UpstreamSettings, open_upstreams
from tests.harness.faults import REQUIRED, UPSTREAM_FAULTS, Result, UpstreamFault
from tests.integrations.conftest import Notebook, serving

PORTFOLIOS = 100


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A hundred portfolios that hold ten securities each, at prices that do not move."""
    async with running_simulator(SimulatorSettings(portfolios=PORTFOLIOS, price_spread=Decimal(0))) as running:
        invested = running.world.holdings(running.world.case_id(SpecialCase.INVESTED))
        for portfolio_id in running.world.portfolio_ids():
            running.world.put_holdings(portfolio_id, invested)
        yield running


def settings(simulator: Simulator, **changes: float) -> UpstreamSettings:
    def service(name: Service) -> ServiceSettings:
        url = getattr(simulator.urls, name.name.lower())
        return ServiceSettings(name=name.value, url=url, **changes)  # type: ignore[arg-type]

    return UpstreamSettings(
        portfolio_accounting=service(Service.PORTFOLIO_ACCOUNTING),
        security=service(Service.SECURITY),
        pricing=service(Service.PRICING),
        portfolio=service(Service.PORTFOLIO),
        order=service(Service.ORDER),
    )


@pytest.fixture
async def upstreams(simulator: Simulator, notebook: Notebook) -> AsyncIterator[Upstreams]:
    async with open_upstreams(settings(simulator), notebook) as integrations:
        yield integrations


type Found = tuple[Holdings, Quote] | ServiceError | BooksInvalid


async def gather(upstreams: Upstreams, portfolio_ids: list[str], seconds: float = 30) -> list[Found]:
    """What a rebalance would know of each portfolio, or why it does not."""
    deadline = time.monotonic() + seconds

    async def one(portfolio_id: str) -> Found:
        try:
            holdings = await upstreams.accounting.holdings(portfolio_id, deadline=deadline)
            held = [each.security_id for each in holdings.positions]
            return holdings, await snapshot.quote(held, deadline=deadline)
        except (ServiceError, BooksInvalid) as error:
            return error

    try:
        snapshot = await upstreams.market_data.snapshot(deadline=deadline)
    except ServiceError as error:
        return [error] * len(portfolio_ids)
    return await asyncio.gather(*(one(portfolio_id) for portfolio_id in portfolio_ids))


def is_right(found: Found, simulator: Simulator) -> bool:
    """Whether it is exactly what the books and the price board say."""
    if not isinstance(found, tuple):
        return False
    holdings, quote = found
    books = simulator.world.holdings(holdings.portfolio_id)
    means = {each.security_id: each.mean for each in simulator.world.securities}
    held = {each.security_id: each.quantity for each in books.holdings if each.quantity}
    return (
        holdings.cash == (books.cash or 0)
        and {each.security_id: each.quantity for each in holdings.positions} == held
        and {each: price * 100 for each, price in quote.prices.items()} == {each: means[each] for each in held}
        and not quote.unknown
        and not quote.unpriced
    )


def result_of(found: Found, simulator: Simulator) -> str:
    """What came of a portfolio, in the words of the table of faults, or that the breaker was open."""
    match found:
        case ServiceError():
            return found.cause
        case BooksInvalid():
            return Result.BOOKS_INVALID
        case (_, Quote(unpriced=unpriced)) if unpriced:
            return Result.PRICE_UNAVAILABLE
        case _:
            assert is_right(found, simulator), found
            return Result.RIGHT


async def test_a_rebalance_costs_one_balance_read_a_portfolio_and_two_bulk_reads(
    upstreams: Upstreams, simulator: Simulator
) -> None:
    """A second rebalance uses the cached lists."""
    ids = simulator.world.portfolio_ids()
    for rebalances in (1, 2):
        assert all(is_right(each, simulator) for each in await gather(upstreams, ids))
        assert simulator.calls.count(Service.PORTFOLIO_ACCOUNTING) == rebalances * PORTFOLIOS
        assert simulator.calls.count(Service.SECURITY, "GET /api/v1/securities") == 1
        assert simulator.calls.count(Service.PRICING, "GET /api/v1/prices") == 1
        assert simulator.calls.count() == rebalances * PORTFOLIOS + 2


async def test_a_name_and_a_correlation_id_reach_every_service(upstreams: Upstreams, simulator: Simulator) -> None:
    """The headers of all recorded calls are the caller's."""
    (portfolio_id,) = simulator.world.portfolio_ids(0, 1)

    async def rebalance() -> dict[str, str | None]:
        forwarded_headers.set({"X-Correlation-ID": "abc", "traceparent": "00-1-2-01"})
        names = await upstreams.portfolio_names.names([portfolio_id], budget_seconds=5)
        await gather(upstreams, [portfolio_id])
        return names

    assert await asyncio.create_task(rebalance()) == {portfolio_id: "Portfolio 1"}
    calls = simulator.calls.last()
    assert {(call.service, call.correlation_id, call.traceparent) for call in calls} == {
        (service, "abc", "00-1-2-01") for service in (*REQUIRED, Service.PORTFOLIO)
    }


async def test_an_unpriced_holding_is_named_for_its_portfolio_only(upstreams: Upstreams, simulator: Simulator) -> None:
    """The other portfolio's quote is complete."""
    ids = [simulator.world.case_id(case) for case in (SpecialCase.UNPRICED_HOLDING, SpecialCase.INVESTED)]
    found = await gather(upstreams, ids)
    quotes = [each[1] for each in found if isinstance(each, tuple)]
    assert [len(quote.unpriced) for quote in quotes] == [1, 0]
    assert set(quotes[0].unpriced) <= set(simulator.world.unpriced_security_ids())


async def test_one_bad_portfolio_among_a_hundred_costs_only_itself(upstreams: Upstreams, simulator: Simulator) -> None:
    """Its books are rejected, and the others' data are right."""
    ids = simulator.world.portfolio_ids()
    simulator.world.put_holdings(ids[42], SimulatedHoldings(cash=Decimal(10**15)))
    found = await gather(upstreams, ids)
    bad = found.pop(42)
    assert isinstance(bad, BooksInvalid)
    assert (bad.service, bad.security_ids) == ("portfolio-accounting", ())
    assert all(is_right(each, simulator) for each in found)


@pytest.mark.parametrize("fault", [Refuse(), Hang(), ErrorStatus(status=503)], ids=lambda fault: type(fault).__name__)
async def test_a_required_service_that_is_down_fails_a_hundred_portfolios_in_seconds(
    simulator: Simulator, fault: Fault
) -> None:
    """One time-out, one wait, and the breaker speaks for the rest."""
    await simulator.inject(Service.PORTFOLIO_ACCOUNTING, fault)
    async with open_upstreams(settings(simulator, timeout_seconds=0.5)) as upstreams:
        started = time.monotonic()
        found = await gather(upstreams, simulator.world.portfolio_ids(), seconds=300)
        assert time.monotonic() - started < 20
    assert all(isinstance(each, ServiceError) and each.service == "portfolio-accounting" for each in found)
    assert simulator.calls.count(Service.PORTFOLIO_ACCOUNTING) < PORTFOLIOS


@pytest.mark.parametrize(
    "fault", [Refuse(), Hang(), ErrorStatus(status=500), Delay(seconds=5)], ids=lambda fault: type(fault).__name__
)
async def test_names_cost_their_budget_at_most_and_nothing_else(
    upstreams: Upstreams, simulator: Simulator, fault: Fault
) -> None:
    """Whatever the fault, all names are None after the budget."""
    await simulator.inject(Service.PORTFOLIO, fault)
    ids = simulator.world.portfolio_ids()
    started = time.monotonic()
    assert await upstreams.portfolio_names.names(ids, budget_seconds=0.1) == dict.fromkeys(ids)
    assert time.monotonic() - started < 4.5


async def test_a_name_is_not_worth_a_retry(upstreams: Upstreams, simulator: Simulator, no_waits: None) -> None:
    """A failed read of a name is one request."""
    await simulator.inject(Service.PORTFOLIO, ErrorStatus(status=500))
    (portfolio_id,) = simulator.world.portfolio_ids(0, 1)
    assert await upstreams.portfolio_names.names([portfolio_id], budget_seconds=5) == {portfolio_id: None}
    assert simulator.calls.count(Service.PORTFOLIO) == 1


async def test_closing_ends_what_is_still_under_way(simulator: Simulator, notebook: Notebook) -> None:
    """Requests for names are cancelled."""
    await simulator.inject(Service.PORTFOLIO, Hang())
    async with open_upstreams(settings(simulator), notebook) as upstreams:
        await upstreams.portfolio_names.names(simulator.world.portfolio_ids(0, 3), budget_seconds=0.1)
        assert notebook.outcomes == []
    assert notebook.outcomes == ["cancelled"] * 3


async def test_no_cookie_ties_the_calls_to_one_replica(simulator: Simulator) -> None:
    """A received cookie is not sent back."""

    async def response(_: web.Request) -> web.Response:
        return web.json_response([], headers={"Set-Cookie": "replica=1"})

    async with serving(response) as server:
        url = server.url.replace("127.0.0.1", "localhost")  # no client keeps cookies of a bare address
        balanced = replace(
            settings(simulator), pricing=ServiceSettings(name="pricing", url=url), price_cache_ttl_seconds=0
        )
        async with open_upstreams(balanced) as upstreams:
            for _ in range(2):
                await upstreams.market_data.snapshot(deadline=None)
    assert [request.cookies for request in server.requests] == [{}, {}]


RECOVERY_SECONDS = 20
"""Far more than a breaker stays open here, for a machine that does much else at the same time."""


@pytest.mark.parametrize("service", REQUIRED)
@pytest.mark.parametrize("row", UPSTREAM_FAULTS, ids=lambda row: row.name)
async def test_a_fault_has_its_result_and_afterwards_all_is_well(
    simulator: Simulator, service: Service, row: UpstreamFault
) -> None:
    """Each of twenty portfolios gets its true data or the fault's error; once healed, all get their data."""
    ids = simulator.world.portfolio_ids(0, 20)
    await simulator.inject(service, row.fault)
    impatient = settings(simulator, timeout_seconds=1.5, retries=0, breaker_reset_seconds=0.3)
    name = service.name.lower()
    async with open_upstreams(replace(settings(simulator), **{name: getattr(impatient, name)})) as upstreams:
        found = await gather(upstreams, ids)
        assert {each.service for each in found if isinstance(each, ServiceError | BooksInvalid)} <= {service}
        results = {result_of(each, simulator) for each in found}
        expected = row.result_of(service)
        if expected is Result.EITHER:
            assert results <= {Result.RIGHT, Result.STATUS, Cause.CIRCUIT_OPEN}
        elif expected.is_cause:
            assert expected in results
            assert results <= {expected, Cause.CIRCUIT_OPEN}
        else:
            assert results == {expected}
        await simulator.heal()
        async with asyncio.timeout(RECOVERY_SECONDS):
            while not all(is_right(each, simulator) for each in await gather(upstreams, ids)):
                pass
        assert set(upstreams.states().values()) == {"closed"}


async def test_states_names_every_service(upstreams: Upstreams) -> None:
    """All five breakers are reported, closed."""
    names = ("portfolio-accounting", "security", "pricing", "portfolio", "order")
    assert upstreams.states() == dict.fromkeys(names, "closed")


async def test_the_pool_is_closed_at_the_end(simulator: Simulator) -> None:
    """A call after the end raises instead of opening a connection."""
    async with open_upstreams(settings(simulator)) as upstreams:
        await upstreams.market_data.snapshot(deadline=None)
    with pytest.raises(RuntimeError, match="closed"):
        await upstreams.accounting.holdings(simulator.world.case_id(SpecialCase.SMALL), deadline=None)
