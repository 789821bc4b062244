"""Which listed prices are used, which are named as unusable, and which make the books invalid."""

from datetime import date
from decimal import Decimal

import pytest

from integrations.http.errors import BooksInvalid
from integrations.market_data import MarketData
from integrations.pricing import MaximumAge, PriceFault
from tests.integrations.conftest import MakeClient, Notebook, Server
from tests.integrations.markets import APPLE, PEAR, PLUM, MakeMarketData, Market

UNUSABLE = {
    "0": "unusable price 0: not above 0",
    "0.00": "unusable price 0.00: not above 0",
    "-2.10": "unusable price -2.10: not above 0",
    '"NaN"': "unusable price NaN: not a number",
    '"Infinity"': "unusable price Infinity: not a number",
    "null": "unusable price null: not a number",
    "true": "unusable price true: not a number",
    '"cheap"': "unusable price cheap: not a number",
    f'"{"9" * 50}x"': f"unusable price {'9' * 40}...: not a number",
}


@pytest.mark.parametrize(("close", "explanation"), UNUSABLE.items())
async def test_a_price_that_cannot_be_used_is_named_with_its_value_and_the_reason(
    market_data: MakeMarketData, market: Market, server: Server, notebook: Notebook, close: str, explanation: str
) -> None:
    """Nothing else is requested for it, other prices are not affected, and the observer is notified."""
    market.prices = f'[{{"ticker": "PEAR", "close": {close}}}, {{"ticker": "AAPL", "close": 190.55}}]'
    quote = await (await market_data().snapshot(deadline=None)).quote([APPLE, PEAR], deadline=None)
    assert quote.prices == {APPLE: Decimal("190.55")}
    assert {key: (price.fault, price.explanation) for key, price in quote.unpriced.items()} == {
        PEAR: (PriceFault.UNUSABLE, explanation)
    }
    assert server.paths.count("/api/v1/price/PEAR") == 0
    assert notebook.refusals == [("pricing", 1, f"PEAR: {explanation}")]


async def test_a_row_without_a_price_is_an_unusable_price(market_data: MakeMarketData, market: Market) -> None:
    """A ticker that is listed without `close` is reported as such."""
    market.prices = '[{"ticker": "PEAR"}]'
    quote = await (await market_data().snapshot(deadline=None)).quote([PEAR], deadline=None)
    assert quote.unpriced[PEAR].explanation == "row without a price"


@pytest.mark.parametrize("bad", ['{"ticker": ["PEAR"], "close": 1}', '{"close": 1}', "null", "5", '"PEAR"'])
async def test_a_row_without_a_ticker_is_left_out_and_reported(
    market_data: MakeMarketData, market: Market, notebook: Notebook, bad: str
) -> None:
    """Such a row is about nothing, so the price it may have been is requested by itself."""
    market.prices = f'[{bad}, {{"ticker": "AAPL", "close": 190.55}}]'
    market.single["price/PEAR"] = '{"ticker": "PEAR", "close": 2.10}'
    quote = await (await market_data().snapshot(deadline=None)).quote([APPLE, PEAR], deadline=None)
    assert quote.prices == {APPLE: Decimal("190.55"), PEAR: Decimal("2.10")}
    ((service, rows, reason),) = notebook.refusals
    assert (service, rows) == ("pricing", 1)
    assert reason.startswith("row 0: ")


@pytest.mark.parametrize(
    "close", ["999999999999999.999999999999999999", "0.000000000000000001", "12345678.50", '"190.55"']
)
async def test_prices_within_the_limits_are_exact(market_data: MakeMarketData, market: Market, close: str) -> None:
    """A price has up to 18 decimals and is below 10^15, as a JSON number or a string."""
    market.prices = f'[{{"ticker": "AAPL", "close": {close}}}]'
    quote = await (await market_data().snapshot(deadline=None)).quote([APPLE], deadline=None)
    assert quote.prices == {APPLE: Decimal(close.strip('"'))}


async def invalid_books(data: MarketData, *security_ids: str) -> BooksInvalid:
    """Return the error of a quote, and check that it affects no quote without these securities."""
    snapshot = await data.snapshot(deadline=None)
    with pytest.raises(BooksInvalid) as raised:
        await snapshot.quote([APPLE, *security_ids], deadline=None)
    assert (await snapshot.quote([APPLE], deadline=None)).prices == {APPLE: Decimal("190.55")}
    return raised.value


@pytest.mark.parametrize(
    ("close", "reason"),
    [
        ("1E+400", "price 1E+400 of PEAR is not below 10^15"),
        ("1000000000000000", "price 1000000000000000 of PEAR is not below 10^15"),
        ("0.0000000000000000001", "price 0.0000000000000000001 of PEAR has more than 18 decimals"),
    ],
)
@pytest.mark.parametrize("single", [False, True], ids=["listed", "single"])
async def test_a_price_beyond_the_limits_makes_the_books_invalid(
    market_data: MakeMarketData, market: Market, close: str, reason: str, single: bool
) -> None:
    """Too many digits are named with their value, in the list and in a single response."""
    row = f'{{"ticker": "PEAR", "close": {close}}}'
    good = '{"ticker": "AAPL", "close": 190.55}'
    market.prices = f"[{good}]" if single else f"[{good}, {row}]"
    market.single["price/PEAR"] = row
    error = await invalid_books(market_data(), PEAR)
    assert (error.service, error.reason, error.security_ids) == ("pricing", reason, (PEAR,))


@pytest.mark.parametrize(
    ("closes", "reason"),
    [
        (("2", "3", "2"), "ticker PEAR has contradictory prices: 2 and 3"),
        (("0", "2.5"), "ticker PEAR has contradictory prices: 0 and 2.5"),
        (("2.5", "null"), "ticker PEAR has contradictory prices: 2.5 and null"),
    ],
)
async def test_contradictory_prices_make_the_books_invalid_without_a_single_call(
    market_data: MakeMarketData, market: Market, server: Server, closes: tuple[str, ...], reason: str
) -> None:
    """A zero next to a good price is a contradiction, too; nothing decides which of them is right."""
    rows = ['{"ticker": "AAPL", "close": 190.55}', *(f'{{"ticker": "PEAR", "close": {close}}}' for close in closes)]
    market.prices = f"[{','.join(rows)}]"
    market.single["price/PEAR"] = '{"ticker": "PEAR", "close": 2.5}'
    error = await invalid_books(market_data(), PEAR)
    assert (error.service, error.reason, error.security_ids) == ("pricing", reason, (PEAR,))
    assert server.paths.count("/api/v1/price/PEAR") == 0


async def test_equal_rows_are_harmless_in_both_lists(market_data: MakeMarketData, market: Market) -> None:
    """Rows that say the same, also with another scale, count once."""
    market.prices = '[{"ticker": "AAPL", "close": 1}, {"ticker": "AAPL", "close": 1.0}]'
    market.securities = market.securities[:-1] + "," + market.securities[1:]
    quote = await (await market_data().snapshot(deadline=None)).quote([APPLE], deadline=None)
    assert quote.prices == {APPLE: Decimal(1)}


async def test_two_tickers_of_one_security_make_the_books_invalid(
    market_data: MakeMarketData, market: Market, server: Server
) -> None:
    """Contradictory rows of a security are not settled by a single call either."""
    market.securities = market.securities[:-1] + f', {{"securityId": "{PEAR}", "ticker": "PEER"}}]'
    market.single[f"security/{PEAR}"] = f'{{"securityId": "{PEAR}", "ticker": "PEAR"}}'
    error = await invalid_books(market_data(), PEAR)
    assert (error.service, error.security_ids) == ("security", (PEAR,))
    assert error.reason == f"security {PEAR} has the tickers PEAR and PEER"
    assert server.paths.count(f"/api/v1/security/{PEAR}") == 0


async def test_two_securities_with_one_ticker_make_the_books_of_both_invalid(
    market_data: MakeMarketData, market: Market
) -> None:
    """A price by ticker belongs to one security only, so neither is priced by it."""
    market.securities = market.securities[:-1] + f', {{"securityId": "{PLUM}", "ticker": "PEAR"}}]'
    for security_id in (PEAR, PLUM):
        error = await invalid_books(market_data(), security_id)
        assert (error.service, error.security_ids) == ("security", (security_id,))
        assert error.reason == f"securities {PEAR}, {PLUM} have the same ticker PEAR"


async def test_a_single_security_with_a_listed_ticker_makes_the_books_invalid(
    market_data: MakeMarketData, market: Market
) -> None:
    """A security that is missing from the list is not priced by the ticker of another one."""
    market.single[f"security/{PLUM}"] = f'{{"securityId": "{PLUM}", "ticker": "PEAR"}}'
    error = await invalid_books(market_data(), PLUM)
    assert error.reason == f"securities {PLUM}, {PEAR} have the same ticker PEAR"


TODAY = date(2026, 3, 2)


@pytest.mark.parametrize(
    ("dated", "explanation"),
    [
        ('"2026-03-02"', None),
        ('"2026-03-02T16:00:00Z"', None),
        ('"2026-02-25"', None),
        ('"2026-03-03"', None),
        ('"2026-02-24"', "price 2.10 of 2026-02-24 is older than 5 days"),
        ('"2025-08-10"', "price 2.10 of 2025-08-10 is older than 5 days"),
        ("null", "price 2.10 has no date"),
        ('"yesterday"', "price 2.10 has the date yesterday"),
        ("5", "price 2.10 has the date 5"),
    ],
)
async def test_a_price_is_too_old_by_its_own_date(
    make_client: MakeClient, server: Server, market: Market, dated: str, explanation: str | None
) -> None:
    """With a maximum age, an older price counts as missing; the reason names its value and date."""
    market.prices = f'[{{"ticker": "PEAR", "close": 2.10, "date": {dated}}}]'
    data = MarketData(
        make_client(server.url, "security"),
        make_client(server.url, "pricing"),
        security_ttl_seconds=600,
        price_ttl_seconds=60,
        maximum_price_age=MaximumAge(5, lambda: TODAY),
    )
    quote = await (await data.snapshot(deadline=None)).quote([PEAR], deadline=None)
    if explanation is None:
        assert quote.prices == {PEAR: Decimal("2.10")}
    else:
        assert quote.unpriced[PEAR].fault is PriceFault.TOO_OLD
        assert quote.unpriced[PEAR].explanation == explanation


async def test_without_a_maximum_age_a_price_of_any_date_is_used(market_data: MakeMarketData, market: Market) -> None:
    """Neither an old date nor a malformed one matters by default."""
    for dated in ('"1999-12-31"', "null", "5"):
        market.prices = f'[{{"ticker": "PEAR", "close": 2.10, "date": {dated}}}]'
        quote = await (await market_data().snapshot(deadline=None)).quote([PEAR], deadline=None)
        assert quote.prices == {PEAR: Decimal("2.10")}
