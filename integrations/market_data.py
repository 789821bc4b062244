"""What securities cost: the chain from security id over ticker to price, as one snapshot for a whole rebalance.

Two bulk reads, or none when both lists are cached, price any number of securities. What the lists lack is asked for one
by one, each once in a snapshot, so that every portfolio of a rebalance sees the same price or the same lack of one.
"""

import asyncio
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from functools import partial

from msgspec import Struct

from integrations.http.cache import LoadingCache
from integrations.http.client import ServiceClient
from integrations.pricing import PriceList, Pricing
from integrations.security import Securities


class Quote(Struct, frozen=True):
    """Prices of the securities asked for, and what could not be priced.

    Attributes:
        prices: money per share by security id, above 0.
        unknown: ids the Security Service does not know, in the order asked.
        unpriced: ids whose ticker has no usable price, in the order asked.
    """

    prices: dict[str, Decimal]
    unknown: tuple[str, ...]
    unpriced: tuple[str, ...]


class PriceSnapshot:
    """The prices of one moment; answers the same for a security however often, and for however many, it is asked.

    Attributes:
        taken_at: when the price list was received, UTC; the price of a ticker missing from the list is a little later.
    """

    def __init__(
        self, tickers: dict[str, str], price_list: PriceList, security: ServiceClient, pricing: ServiceClient
    ) -> None:
        self.taken_at: datetime = price_list.taken_at
        self._tickers = tickers
        self._prices = price_list.prices
        self._securities = Securities(security)
        self._pricing = Pricing(pricing)
        # Both live as long as the snapshot, and hold no more than the securities it is asked for.
        self._ticker_gaps: LoadingCache[str, str | None] = LoadingCache(
            "security_gaps", security, max_entries=math.inf, ttl_seconds=math.inf
        )
        self._price_gaps: LoadingCache[str, Decimal | None] = LoadingCache(
            "price_gaps", pricing, max_entries=math.inf, ttl_seconds=math.inf
        )

    async def quote(self, security_ids: Iterable[str], *, deadline: float | None) -> Quote:
        """The prices of some securities.

        Raises:
            ServiceError: a security or a price that the lists lack could not be asked for.
        """
        wanted = tuple(dict.fromkeys(security_ids))
        tickers, listed = self._tickers, self._prices
        prices = {each: listed[tickers[each]] for each in wanted if tickers.get(each) in listed}
        if len(prices) == len(wanted):
            return Quote(prices, (), ())
        with _first_failure():
            async with asyncio.TaskGroup() as group:
                calls = {each: group.create_task(self._ask(each, deadline)) for each in wanted if each not in prices}
        answers = {each: call.result() for each, call in calls.items()}
        return Quote(
            prices | {each: answer.price for each, answer in answers.items() if answer.price is not None},
            unknown=tuple(each for each, answer in answers.items() if answer.ticker is None),
            unpriced=tuple(each for each, answer in answers.items() if answer.ticker and answer.price is None),
        )

    async def _ask(self, security_id: str, deadline: float | None) -> "_Answer":
        """Asks for whatever the lists lack of one security."""
        ticker = self._tickers.get(security_id)
        if ticker is None:
            load_ticker = partial(self._securities.ticker, security_id, deadline=deadline)
            ticker = await self._ticker_gaps.get(security_id, load_ticker, deadline=deadline)
        if ticker is None:
            return _Answer(None, None)
        price = self._prices.get(ticker)
        if price is None:
            load_price = partial(self._pricing.price, ticker, deadline=deadline)
            price = await self._price_gaps.get(ticker, load_price, deadline=deadline)
        return _Answer(ticker, price)


class _Answer(Struct, frozen=True):
    """What the services say of one security; None for what they do not know."""

    ticker: str | None
    price: Decimal | None


class MarketData:
    """Takes price snapshots.

    Args:
        security: client of the Security Service.
        pricing: client of the Pricing Service.
        security_ttl_seconds: how long the list of securities is good for; 0 asks for it every time.
        price_ttl_seconds: how long a price list is shared, with its own `taken_at`; 0 asks for it every time.
    """

    def __init__(
        self, security: ServiceClient, pricing: ServiceClient, *, security_ttl_seconds: float, price_ttl_seconds: float
    ) -> None:
        self._security = security
        self._pricing = pricing
        self._ticker_lists: LoadingCache[None, dict[str, str]] = LoadingCache(
            "securities", security, max_entries=1, ttl_seconds=security_ttl_seconds
        )
        self._price_lists: LoadingCache[None, PriceList] = LoadingCache(
            "prices", pricing, max_entries=1, ttl_seconds=price_ttl_seconds
        )

    async def snapshot(self, *, deadline: float | None) -> PriceSnapshot:
        """All securities and their prices now, or as they were at most the caches' time to live ago.

        Raises:
            ServiceError: one of the two lists could not be had.
        """
        securities, pricing = Securities(self._security), Pricing(self._pricing)
        with _first_failure():
            async with asyncio.TaskGroup() as group:
                tickers = group.create_task(
                    self._ticker_lists.get(None, lambda: securities.tickers(deadline=deadline), deadline=deadline)
                )
                prices = group.create_task(
                    self._price_lists.get(None, lambda: pricing.prices(deadline=deadline), deadline=deadline)
                )
        return PriceSnapshot(tickers.result(), prices.result(), self._security, self._pricing)


@contextmanager
def _first_failure() -> Iterator[None]:
    """A task group's first failure by itself, as if the calls had been made one after the other."""
    try:
        yield
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
