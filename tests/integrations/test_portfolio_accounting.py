"""Holdings are read completely and exactly, or not at all."""

from collections.abc import AsyncIterator
from decimal import Decimal

import msgspec
import pytest
from aiohttp import web

from integrations.http.errors import BooksInvalid, Cause, ServiceError
from integrations.portfolio_accounting import Holding, Holdings, PortfolioAccounting
from integrations.simulator import Simulator, SimulatorSettings, SpecialCase, running_simulator
from tests.integrations.conftest import MakeClient, serving

PORTFOLIO = "68989d07a711681c7aed8cb7"
APPLE = "68759586672efc735e8b181d"
PEAR = "PearPearPearPearPearPear"

type Row = dict[str, object]


def row(long: object = "1", short: object = "0", **fields: object) -> Row:
    """A balance of cash, unless a security is given."""
    return {"id": 1, "portfolioId": PORTFOLIO, "quantityLong": long, "quantityShort": short, "version": 1} | fields


async def read(
    make_client: MakeClient, *rows: Row, raw: bytes | None = None, pagination: Row | None = None
) -> Holdings:
    """What becomes of one page with these rows."""
    page = {"balances": rows, "pagination": {"total": len(rows), "hasMore": False} | (pagination or {})}

    async def response(_: web.Request) -> web.Response:
        return web.Response(body=raw or msgspec.json.encode(page))

    async with serving(response) as server:
        client = make_client(server.url, "portfolio-accounting")
        return await PortfolioAccounting(client).holdings(PORTFOLIO, deadline=None)


async def refusal(make_client: MakeClient, *rows: Row, pagination: Row | None = None) -> str:
    """Why a page with these rows is refused."""
    with pytest.raises(ServiceError) as raised:
        await read(make_client, *rows, pagination=pagination)
    assert (raised.value.service, raised.value.cause) == ("portfolio-accounting", Cause.BAD_PAYLOAD)
    return raised.value.reason


async def test_net_is_long_minus_short_and_cash_is_the_row_without_a_security(make_client: MakeClient) -> None:
    """Several rows become holdings and cash, exactly."""
    holdings = await read(
        make_client, row("10.5", "0.25", securityId=APPLE), row("3", "7", securityId=PEAR), row("1000.01")
    )
    assert holdings.portfolio_id == PORTFOLIO
    assert holdings.cash == Decimal("1000.01")
    assert holdings.positions == (Holding(APPLE, Decimal("10.25")), Holding(PEAR, Decimal(-4)))
    assert holdings.has_balances


@pytest.mark.parametrize("cash", [{}, {"securityId": None}, {"securityId": ""}], ids=["missing", "null", "empty"])
async def test_a_security_id_that_is_missing_null_or_empty_means_cash(make_client: MakeClient, cash: Row) -> None:
    """All three forms are read as money."""
    assert (await read(make_client, row("-250.5", **cash))).cash == Decimal("-250.5")


async def test_quantities_may_be_numbers_and_stay_exact(make_client: MakeClient) -> None:
    """A number of twenty digits keeps all of them."""
    page = (
        f'{{"balances": [{{"portfolioId": "{PORTFOLIO}", "quantityLong": 123456789012.12345678, "quantityShort": 0}}],'
        '"pagination": {"total": 1, "hasMore": false}}'
    )
    holdings = await read(make_client, raw=page.encode())
    assert holdings.cash == Decimal("123456789012.12345678")


async def test_rows_of_zero_are_dropped_and_no_rows_at_all_mean_no_cash(make_client: MakeClient) -> None:
    """A portfolio without rows is distinguishable from one with zeros."""
    assert (await read(make_client, row("5", "5", securityId=APPLE), row("0", securityId=PEAR))).positions == ()
    empty = await read(make_client)
    assert (empty.cash, empty.positions, empty.has_balances) == (Decimal(0), (), False)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([row(portfolioId=APPLE)], "response is about something that was not requested"),
        ([row(portfolioId="")], "response is about something that was not requested"),
        ([row(securityId="short")], "securityId is not 24 letters or digits - at `$.balances[0]`"),
        ([row(securityId=APPLE + "\n")], "securityId is not 24 letters or digits - at `$.balances[0]`"),
        ([row("NaN")], "quantityLong is not a finite number - at `$.balances[0]`"),
        ([row(), row("1", "-Infinity", securityId=APPLE)], "quantityShort is not a finite number - at `$.balances[1]`"),
        ([row(None)], "Expected `decimal`, got `null` - at `$.balances[0].quantityLong`"),
        ([row("many")], "Invalid decimal string - at `$.balances[0].quantityLong`"),
        ([{"portfolioId": PORTFOLIO, "quantityLong": "1"}], "missing required field `quantityShort`"),
        ([row(securityId=5)], "Expected `str | null`, got `int` - at `$.balances[0].securityId`"),
    ],
)  # fmt: skip
async def test_rows_that_nobody_should_trade_on_are_refused(
    make_client: MakeClient, rows: list[Row], reason: str
) -> None:
    """Foreign, duplicated, unbounded or non-finite rows fail, with the reason."""
    assert reason in await refusal(make_client, *rows)


@pytest.mark.parametrize(
    ("rows", "reason", "security_ids"),
    [
        ([row(securityId=APPLE), row("2", securityId=APPLE)], f"{APPLE} has several balances", (APPLE,)),
        ([row(securityId=APPLE), row(securityId=APPLE)], f"{APPLE} has several balances", (APPLE,)),
        ([row("0", securityId=APPLE), row(securityId=APPLE)], f"{APPLE} has several balances", (APPLE,)),
        ([row(), row(securityId="")], "cash has several balances", ()),
        ([row(), row(), row(securityId=PEAR), row(securityId=PEAR)],
         f"cash has several balances; {PEAR} has several balances", (PEAR,)),
        ([row("1E+999999")], "cash has a quantityLong of 1E+999999, which is not below 10^15", ()),
        ([row("1000000000000000", securityId=APPLE)],
         f"{APPLE} has a quantityLong of 1000000000000000, which is not below 10^15", (APPLE,)),
        ([row("0.1234567890123456789", securityId=APPLE)],
         f"{APPLE} has a quantityLong of 0.1234567890123456789, which has more than 18 decimals", (APPLE,)),
        ([row(), row("1", "1E-999999", securityId=APPLE)],
         f"{APPLE} has a quantityShort of 1E-999999, which has more than 18 decimals", (APPLE,)),
    ],
)  # fmt: skip
async def test_books_that_contradict_themselves_or_break_a_limit_are_invalid(
    make_client: MakeClient, rows: list[Row], reason: str, security_ids: tuple[str, ...]
) -> None:
    """Repeated balances and numbers beyond the limits are no outage: the error names securities and values."""
    with pytest.raises(BooksInvalid) as raised:
        await read(make_client, *rows)
    assert (raised.value.service, raised.value.reason) == ("portfolio-accounting", reason)
    assert raised.value.security_ids == security_ids


async def test_of_many_faulty_balances_three_are_described_and_all_are_named(make_client: MakeClient) -> None:
    """A page full of faults does not become an endless message."""
    ids = [f"{number:024}" for number in range(10)]
    with pytest.raises(BooksInvalid) as raised:
        await read(make_client, *(row("1E-19", securityId=each) for each in ids))
    assert raised.value.reason.count("18 decimals") == 3
    assert raised.value.reason.endswith("; and 7 more")
    assert raised.value.security_ids == tuple(ids)


async def test_quantities_of_18_decimals_below_10_to_the_15th_stay_exact(make_client: MakeClient) -> None:
    """The widest numbers of the contract pass, the difference of long and short included."""
    largest = "999999999999999.999999999999999999"
    holdings = await read(make_client, row(largest, "0.000000000000000001", securityId=APPLE), row(largest))
    assert holdings.positions == (Holding(APPLE, Decimal("999999999999999.999999999999999998")),)
    assert holdings.cash == Decimal(largest)


async def test_trailing_zeros_are_no_decimals(make_client: MakeClient) -> None:
    """They do not count towards the limit of decimals."""
    assert (await read(make_client, row("1.5000000000000"))).cash == Decimal("1.5")


async def test_rows_that_are_announced_but_missing_are_refused(make_client: MakeClient) -> None:
    """A row too few would be a holding, or the cash, that the rebalance does not know of."""
    assert "1 balances where 2 are announced" in await refusal(make_client, row(), pagination={"total": 2})


async def test_a_page_without_pagination_is_refused(make_client: MakeClient) -> None:
    """Nobody could say whether it is the last."""
    with pytest.raises(ServiceError, match="missing required field `pagination`"):
        await read(make_client, raw=b'{"balances": []}')


async def test_empty_pages_that_announce_more_end(make_client: MakeClient) -> None:
    """A server that never ends is an error, not a loop."""
    assert "an empty page that announces more" in await refusal(make_client, pagination={"hasMore": True})


async def test_pages_without_an_end_are_given_up(make_client: MakeClient) -> None:
    """A hundred pages are the limit."""

    async def response(_: web.Request) -> web.Response:
        return web.json_response({"balances": [row()], "pagination": {"total": 10**9, "hasMore": True}})

    async with serving(response) as server:
        accounting = PortfolioAccounting(make_client(server.url))
        with pytest.raises(ServiceError, match="more than 100 pages of balances"):
            await accounting.holdings(PORTFOLIO, deadline=None)
    assert len(server.requests) == 100


async def test_a_service_that_falls_back_to_small_pages_is_read_to_the_end(make_client: MakeClient) -> None:
    """The next page begins after the rows received, not after the rows asked for."""
    rows = [row(securityId=f"{number:024}") for number in range(60)] + [row("77.7")]

    async def response(request: web.Request) -> web.Response:
        start = int(request.query["offset"])
        page = rows[start : start + 50]
        more = start + 50 < len(rows)
        return web.json_response({"balances": page, "pagination": {"total": len(rows), "hasMore": more}})

    async with serving(response) as server:
        holdings = await PortfolioAccounting(make_client(server.url)).holdings(PORTFOLIO, deadline=None)
    assert (len(holdings.positions), holdings.cash) == (60, Decimal("77.7"))
    assert [dict(each.query) for each in server.requests] == [
        {"portfolio_id": PORTFOLIO, "limit": "1000", "offset": offset} for offset in ("0", "50")
    ]


@pytest.fixture(scope="module")
async def simulator(anyio_backend: object) -> AsyncIterator[Simulator]:
    async with running_simulator(SimulatorSettings(portfolios=10)) as running:
        yield running


@pytest.mark.parametrize("case", SpecialCase)
async def test_every_kind_of_portfolio_is_read_as_the_books_have_it(
    make_client: MakeClient, simulator: Simulator, case: SpecialCase
) -> None:
    """The cash of more than a thousand rows is on the second page, in last place."""
    portfolio_id = simulator.world.case_id(case)
    books = simulator.world.holdings(portfolio_id)
    simulator.calls.reset()
    accounting = PortfolioAccounting(make_client(simulator.urls.portfolio_accounting))
    holdings = await accounting.holdings(portfolio_id, deadline=None)
    assert holdings.cash == (books.cash or 0)
    assert {each.security_id: each.quantity for each in holdings.positions} == {
        each.security_id: each.quantity for each in books.holdings if each.quantity
    }
    assert simulator.calls.count() == (2 if case is SpecialCase.THOUSAND_ROWS else 1)


@pytest.mark.parametrize("changed", [{"portfolioId": APPLE}, {"offset": 0}], ids=["portfolio", "offset"])
async def test_a_later_page_must_be_of_the_same_portfolio_and_the_requested_offset(
    make_client: MakeClient, changed: Row
) -> None:
    """The second page is checked against the request like the first."""

    async def respond(request: web.Request) -> web.Response:
        offset = int(request.query["offset"])
        body: Row = {"limit": 1000, "offset": offset, "total": 2, "hasMore": offset == 0}
        balance = row(securityId=APPLE if offset == 0 else PEAR)
        if offset:
            body |= {key: value for key, value in changed.items() if key in body}
            balance |= {key: value for key, value in changed.items() if key in balance}
        return web.json_response({"balances": [balance], "pagination": body})

    async with serving(respond) as server:
        accounting = PortfolioAccounting(make_client(server.url))
        with pytest.raises(ServiceError, match="a page of another portfolio or offset"):
            await accounting.holdings(PORTFOLIO, deadline=None)
