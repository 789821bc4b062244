"""The simulated services respond as the real ones do, over HTTP."""

import re
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import aiohttp
import msgspec
import pytest

from integrations.simulator import Simulator, SimulatorSettings, SpecialCase, running_simulator

DECODER = msgspec.json.Decoder(float_hook=Decimal)


@pytest.fixture(scope="module")
async def simulator(anyio_backend: object) -> AsyncIterator[Simulator]:
    async with running_simulator(SimulatorSettings(portfolios=1200)) as running:
        yield running


@pytest.fixture(scope="module")
async def http(simulator: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def get(http: aiohttp.ClientSession, url: str, **query: object) -> tuple[int, Any]:
    """Status and decoded JSON; numbers with a point come as Decimals."""
    async with http.get(url, params={name: str(value) for name, value in query.items()}) as response:
        return response.status, DECODER.decode(await response.read())


async def balances(http: aiohttp.ClientSession, simulator: Simulator, portfolio_id: str, **query: object) -> Any:
    url = f"{simulator.urls.portfolio_accounting}/api/v1/balances"
    status, page = await get(http, url, portfolio_id=portfolio_id, **query)
    assert status == 200
    return page


async def test_a_regular_portfolio_has_one_cash_row_without_a_security_and_with_text_quantities(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    """The row and the pagination have the real service's form."""
    (portfolio_id,) = simulator.world.portfolio_ids(7, 1)
    page = await balances(http, simulator, portfolio_id, limit=1000, offset=0)
    (row,) = page["balances"]
    assert re.fullmatch("[0-9a-f]{24}", portfolio_id)
    assert row["portfolioId"] == portfolio_id
    assert "securityId" not in row
    assert 100_000 <= Decimal(row["quantityLong"]) <= 4_000_000
    assert row["quantityShort"] == "0"
    assert page["pagination"] == {
        "limit": 1000, "offset": 0, "total": 1, "hasMore": False, "page": 1, "totalPages": 1,
    }  # fmt: skip


async def test_an_unknown_and_an_unfunded_portfolio_have_an_empty_list(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    """Both look the same, as in the real service."""
    unfunded = simulator.world.case_id(SpecialCase.UNFUNDED)
    for portfolio_id in ("0" * 24, unfunded, "not an id"):
        page = await balances(http, simulator, portfolio_id)
        assert page["balances"] == []
        assert page["pagination"]["total"] == 0
        assert page["pagination"]["hasMore"] is False


@pytest.mark.parametrize("limit", [None, "1001", "0", "-5", "many", "1.5"])
async def test_a_missing_or_bad_limit_becomes_fifty_and_leaves_the_cash_for_the_next_page(
    simulator: Simulator, http: aiohttp.ClientSession, limit: str | None
) -> None:
    """The cash row is the last of all pages."""
    portfolio_id = simulator.world.case_id(SpecialCase.MANY_ROWS)
    query = {} if limit is None else {"limit": limit}
    first = await balances(http, simulator, portfolio_id, **query)
    assert len(first["balances"]) == 50
    assert all("securityId" in row for row in first["balances"])
    assert first["pagination"] == {
        "limit": 50, "offset": 0, "total": 61, "hasMore": True, "page": 1, "totalPages": 2,
    }  # fmt: skip
    second = await balances(http, simulator, portfolio_id, offset=50, **query)
    assert "securityId" not in second["balances"][-1]
    assert second["pagination"]["hasMore"] is False
    securities = [row.get("securityId") for row in first["balances"] + second["balances"]]
    assert securities[:-1] == sorted(set(securities[:-1]))


@pytest.mark.parametrize("offset", ["-1", "first", "2.5"])
async def test_a_bad_offset_is_ignored(simulator: Simulator, http: aiohttp.ClientSession, offset: str) -> None:
    """The first page is returned."""
    page = await balances(http, simulator, simulator.world.case_id(SpecialCase.INVESTED), offset=offset)
    assert (len(page["balances"]), page["pagination"]["offset"]) == (11, 0)


async def test_more_rows_than_the_largest_page_come_on_two(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    """The first page announces the second, which has the rest."""
    portfolio_id = simulator.world.case_id(SpecialCase.THOUSAND_ROWS)
    first = await balances(http, simulator, portfolio_id, limit=1000)
    second = await balances(http, simulator, portfolio_id, limit=1000, offset=1000)
    assert (len(first["balances"]), len(second["balances"])) == (1000, 201)
    assert first["pagination"]["hasMore"] is True
    assert second["balances"][-1]["quantityLong"] == "500000.5"


async def test_special_portfolios_hold_what_their_names_say(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    """Each special case has the holdings that its tests rely on."""

    async def rows(case: SpecialCase) -> tuple[dict[str, Decimal], Decimal]:
        page = await balances(http, simulator, simulator.world.case_id(case), limit=1000)
        *held, cash = page["balances"]
        return {
            row["securityId"]: Decimal(row["quantityLong"]) - Decimal(row["quantityShort"]) for row in held
        }, Decimal(cash["quantityLong"])

    priced, unpriced = simulator.world.priced_security_ids(), set(simulator.world.unpriced_security_ids())
    held, cash = await rows(SpecialCase.UNPRICED_HOLDING)
    assert unpriced & held.keys()
    held, cash = await rows(SpecialCase.SMALL)
    assert not held
    assert cash == 10_000
    held, _ = await rows(SpecialCase.ZERO_ROWS)
    assert list(held.values()).count(Decimal(0)) == 10
    held, _ = await rows(SpecialCase.FRACTIONAL)
    assert Decimal("123.12345678") in held.values()
    held, _ = await rows(SpecialCase.SHORT)
    assert min(held.values()) == -50
    held, cash = await rows(SpecialCase.OVERDRAWN)
    assert cash == Decimal("-2500.75")
    held, _ = await rows(SpecialCase.INVESTED)
    assert held.keys() == set(priced[:10])
    held, _ = await rows(SpecialCase.OUTSIDE)
    assert held.keys() == set(priced[-5:])
    held, cash = await rows(SpecialCase.NEGATIVE_VALUE)
    means = {security.security_id: security.mean or 0 for security in simulator.world.securities}
    assert cash * 100 + sum(quantity * means[security_id] for security_id, quantity in held.items()) < 0


async def test_securities_are_a_bare_array_of_which_some_have_a_price(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    """505 securities, of which 470 have a price."""
    status, securities = await get(http, f"{simulator.urls.security}/api/v1/securities")
    assert status == 200
    assert len({row["securityId"] for row in securities}) == len({row["ticker"] for row in securities}) == 505
    assert securities[0].keys() == {
        "securityId", "ticker", "description", "securityTypeId", "version", "securityType",
    }  # fmt: skip
    status, prices = await get(http, f"{simulator.urls.pricing}/api/v1/prices")
    assert status == 200
    priced = {row["ticker"] for row in prices}
    assert len(priced) == len(prices) == 470
    with_price = [row["securityId"] for row in securities if row["ticker"] in priced]
    assert with_price == simulator.world.priced_security_ids()
    assert len(with_price) == 310
    assert len(simulator.world.unpriced_security_ids()) == 195


async def test_one_security_is_found_by_its_id_and_a_malformed_id_breaks_the_service(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    """Unknown ids are 404, malformed ones 500, as in the real service."""
    url = f"{simulator.urls.security}/api/v1/security"
    known = simulator.world.securities[3]
    status, security = await get(http, f"{url}/{known.security_id}")
    assert (status, security["ticker"]) == (200, known.ticker)
    status, error = await get(http, f"{url}/{'0' * 24}")
    assert (status, error) == (404, {"detail": "Security not found"})
    for malformed in ("xyz", "0" * 23 + "g", "0" * 25):
        status, error = await get(http, f"{url}/{malformed}")
        assert (status, error) == (500, {"detail": "Internal Server Error"})


async def test_securities_are_found_by_their_ticker_or_a_part_of_it(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    """Version 2 returns pages by ticker, compares without regard to case, and nests the version of the type."""
    url = f"{simulator.urls.security}/api/v2/securities"
    tickers = sorted(security.ticker for security in simulator.world.securities)
    status, first = await get(http, url)
    assert (status, [row["ticker"] for row in first["securities"]]) == (200, tickers[:50])
    assert first["securities"][0]["securityType"]["version"] == 1
    assert (first["pagination"]["totalElements"], first["pagination"]["hasNext"]) == (len(tickers), True)
    _, rest = await get(http, f"{url}?limit=1000&offset=500")
    assert [row["ticker"] for row in rest["securities"]] == tickers[500:]
    known = simulator.world.securities[3].ticker
    _, exact = await get(http, f"{url}?ticker={known.lower()}")
    assert [row["ticker"] for row in exact["securities"]] == [known]
    part = known[1:3]
    _, like = await get(http, f"{url}?ticker_like={part.lower()}&limit=1000")
    assert [row["ticker"] for row in like["securities"]] == [ticker for ticker in tickers if part in ticker]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("ticker=A&ticker_like=B", 400),
        ("ticker=A%20B", 400),
        ("ticker_like=", 400),
        ("limit=0", 422),
        ("limit=1001", 422),
        ("limit=x", 422),
        ("offset=-1", 422),
    ],
)
async def test_a_malformed_search_of_securities_is_rejected(
    simulator: Simulator, http: aiohttp.ClientSession, query: str, status: int
) -> None:
    """The status tells a bad text (400) from a bad page (422); a 422 names the parameter."""
    found, error = await get(http, f"{simulator.urls.security}/api/v2/securities?{query}")
    assert found == status
    if status == 422:
        assert error["detail"][0]["loc"] == ["query", query.partition("=")[0]]


@pytest.mark.parametrize(
    ("query", "status", "count"),
    [
        ("name=portfolio%201", 200, 1),
        ("name_like=PORTFOLIO%2012", 200, None),
        ("name=nobody", 200, 0),
        ("name=a&name_like=b", 400, None),
        ("name=%20", 400, None),
        ("name_like=a.b", 400, None),
    ],
)
async def test_portfolios_are_found_by_their_name_or_a_part_of_it(
    simulator: Simulator, http: aiohttp.ClientSession, query: str, status: int, count: int | None
) -> None:
    """Names are compared without regard to case; a text of other characters is rejected."""
    found, page = await get(http, f"{simulator.urls.portfolio}/api/v2/portfolios?{query}")
    assert found == status
    if status == 200:
        names = [row["name"].casefold() for row in page["portfolios"]]
        text = unquote(query.partition("=")[2]).casefold()
        assert all(name == text if query.startswith("name=") else text in name for name in names)
        assert bool(names) == (text != "nobody")
        if count is not None:
            assert page["pagination"]["totalElements"] == count
        assert all("dateCreated" in row and not row["dateCreated"].endswith("Z") for row in page["portfolios"])


async def test_every_price_is_drawn_anew_to_the_cent_around_its_mean(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    """Two reads differ, within the spread."""
    means = simulator.prices.means()
    seen = []
    for _ in range(2):
        _, prices = await get(http, f"{simulator.urls.pricing}/api/v1/prices")
        seen.append({row["ticker"]: row["close"] for row in prices})
        for row in prices:
            assert isinstance(row["close"], Decimal)
            assert row["close"].as_tuple().exponent == -2
            assert row["open"] == row["close"] == row["high"] == row["low"]
            assert abs(row["close"] / means[row["ticker"]] - 1) < Decimal("0.1")
    assert sum(seen[0][ticker] != seen[1][ticker] for ticker in means) > 400
    off = [abs(seen[0][ticker] / mean - 1) for ticker, mean in means.items()]
    assert Decimal("0.008") < sum(off) / len(off) < Decimal("0.018")


async def test_a_single_price_is_drawn_anew_and_its_ticker_is_case_sensitive(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    """An unpriced or lower-case ticker is 404."""
    security = simulator.world.expensive_security
    url = f"{simulator.urls.pricing}/api/v1/price"
    drawn = [await get(http, f"{url}/{security.ticker}") for _ in range(5)]
    assert {status for status, _ in drawn} == {200}
    assert len({row["close"] for _, row in drawn}) > 1
    assert all(abs(row["close"] - 1900) < 200 for _, row in drawn)
    unpriced = simulator.world.by_id[simulator.world.unpriced_security_ids()[0]].ticker
    for missing in (security.ticker.lower(), unpriced, "NOBODY"):
        status, _ = await get(http, f"{url}/{missing}")
        assert status == 404


async def test_a_portfolio_has_a_name_and_an_unknown_or_malformed_id_is_not_found(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    """The body has the real service's keys, and a date without a zone."""
    (portfolio_id,) = simulator.world.portfolio_ids(41, 1)
    status, portfolio = await get(http, f"{simulator.urls.portfolio}/api/v1/portfolio/{portfolio_id}")
    assert status == 200
    assert portfolio.keys() == {"portfolioId", "name", "dateCreated", "version"}
    assert (portfolio["portfolioId"], portfolio["name"]) == (portfolio_id, "Portfolio 42")
    assert portfolio["dateCreated"] == "2025-08-10T13:23:37", "a time without a zone"
    for unknown in ("0" * 24, portfolio_id[:-1] + "x", "xyz"):
        status, error = await get(http, f"{simulator.urls.portfolio}/api/v1/portfolio/{unknown}")
        assert (status, error) == (404, {"detail": "Portfolio not found"})


async def test_the_list_of_portfolios_pages_through_regular_ones_and_then_the_special_ones(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    """Pages are contiguous, and the totals right."""
    url = f"{simulator.urls.portfolio}/api/v2/portfolios"
    _, first = await get(http, url, limit=1000, offset=0)
    _, second = await get(http, url, limit=1000, offset=1000)
    ids = [row["portfolioId"] for row in first["portfolios"] + second["portfolios"]]
    special = [simulator.world.case_id(case) for case in SpecialCase]
    assert ids == simulator.world.portfolio_ids() + special
    assert second["pagination"] == {
        "totalElements": len(ids), "totalPages": 2, "currentPage": 1, "pageSize": 1000,
        "hasNext": False, "hasPrevious": True,
    }  # fmt: skip
    status, _ = await get(http, url, limit=1001)
    assert status == 422


async def test_the_same_seed_gives_the_same_world_and_another_seed_another() -> None:
    """Securities, portfolios, cash and prices are reproducible."""

    def picture(seed: int) -> tuple[object, ...]:
        simulator = Simulator(SimulatorSettings(seed=seed, portfolios=50))
        ids = simulator.world.portfolio_ids()
        return (
            simulator.world.securities,
            ids,
            [simulator.world.holdings(portfolio_id).cash for portfolio_id in ids],
            simulator.prices.encode_all(),
        )

    once, again, other = picture(3), picture(3), picture(4)
    assert once == again
    assert not any(mine == theirs for mine, theirs in zip(once, other, strict=True))


async def test_prices_and_cash_are_distributed_like_the_real_ones() -> None:
    """Quantiles of prices and cash match those of the suite's data."""
    simulator = Simulator(SimulatorSettings(portfolios=1_000_000, securities=4000, priced_securities=3000))
    means = sorted(security.mean / 100 for security in simulator.world.securities if security.mean is not None)
    assert means[0] >= 1.79
    assert means[-1] <= 1992
    assert 58 < means[1500] < 68
    assert 17 < means[150] < 25
    assert 165 < means[2850] < 215
    cash = [simulator.world.holdings(portfolio_id).cash for portfolio_id in simulator.world.portfolio_ids(990_000)]
    assert len(set(cash)) > 9_900
    small = sum(amount is not None and amount < 1_000_000 for amount in cash)
    assert 5_800 < small < 6_200


@pytest.mark.parametrize(
    "wrong",
    [
        {"portfolios": -1},
        {"priced_securities": 19},
        {"priced_securities": 505},
        {"price_spread": Decimal("NaN")},
        {"price_spread": Decimal("0.3")},
        {"first_port": 65_531},
    ],
)
def test_settings_outside_their_range_are_refused(wrong: dict[str, Any]) -> None:
    """The error names the setting."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SimulatorSettings(**wrong)
