"""Prices of securities: the chain from security id to ticker to price, as one snapshot for a whole rebalance.

Two bulk reads, or none if both lists are cached, price any number of securities. What the lists lack is requested one
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
from integrations.http.errors import BooksInvalid
from integrations.pricing import MaximumAge, MissingPrice, PriceFault, PriceList, Pricing
from integrations.security import Securities, SecurityList, shared_ticker


class Quote(Struct, frozen=True):
    """Prices of the securities requested, and what could not be priced, in the order requested.

    Attributes:
        prices: money per share by security id, above 0.
        tickers: by security id, of every security that the Security Service knows.
        unknown: ids that the Security Service does not know.
        unpriced: by security id, why a security has no price that can be used.
    """

    prices: dict[str, Decimal]
    tickers: dict[str, str]
    unknown: tuple[str, ...] = ()
    unpriced: dict[str, MissingPrice] = {}


class PriceSnapshot:
    """The prices of one moment; the same for a security regardless of how often, and for which portfolio, it is quoted.

    Attributes:
        taken_at: when the price list was received, UTC; the price of a ticker missing from the list is a little later.
    """

    def __init__(
        self, security_list: SecurityList, price_list: PriceList, securities: Securities, pricing: Pricing
    ) -> None:
        self.taken_at: datetime = price_list.taken_at
        self._security_list = security_list
        self._price_list = price_list
        self._securities = securities
        self._pricing = pricing
        self._gap_owners: dict[str, str] = {}
        # Both live as long as the snapshot, and hold no more than the securities that are quoted.
        self._ticker_gaps: LoadingCache[str, str | None] = LoadingCache(
            "security_gaps", securities.client, max_entries=math.inf, ttl_seconds=math.inf
        )
        self._price_gaps: LoadingCache[str, Decimal | MissingPrice] = LoadingCache(
            "price_gaps", pricing.client, max_entries=math.inf, ttl_seconds=math.inf
        )

    async def quote(self, security_ids: Iterable[str], *, deadline: float | None) -> Quote:
        """Return the prices of some securities.

        Raises:
            BooksInvalid: the services contradict themselves about one of them, or its price breaks a limit.
            ServiceError: a security or a price that the lists lack could not be read.
        """
        wanted = tuple(dict.fromkeys(security_ids))
        tickers, listed = self._security_list.tickers, self._price_list.prices
        prices = {each: listed[tickers[each]] for each in wanted if tickers.get(each) in listed}
        if len(prices) == len(wanted):
            return Quote(prices, {each: tickers[each] for each in wanted})
        rest = [each for each in wanted if each not in prices]
        contradictions = self._security_list.contradictions
        _require_valid(self._securities.client, {each: contradictions[each] for each in rest if each in contradictions})
        with _first_failure():
            async with asyncio.TaskGroup() as group:
                calls = {each: group.create_task(self._find(each, deadline)) for each in rest}
        found = {each: call.result() for each, call in calls.items()}
        missing = {
            each: each_found.price for each, each_found in found.items() if isinstance(each_found.price, MissingPrice)
        }
        invalid = {each: price.explanation for each, price in missing.items() if price.fault is PriceFault.INVALID}
        _require_valid(self._pricing.client, invalid)
        known = {each: tickers[each] for each in prices}
        return Quote(
            prices | {each: entry.price for each, entry in found.items() if isinstance(entry.price, Decimal)},
            known | {each: entry.ticker for each, entry in found.items() if entry.ticker is not None},
            unknown=tuple(each for each, entry in found.items() if entry.ticker is None),
            unpriced=missing,
        )

    async def _find(self, security_id: str, deadline: float | None) -> "_Found":
        """Return what the lists lack about one security."""
        ticker = self._security_list.tickers.get(security_id)
        if ticker is None:
            load_ticker = partial(self._securities.ticker, security_id, deadline=deadline)
            ticker = await self._ticker_gaps.get(security_id, load_ticker, deadline=deadline)
            if ticker is None:
                return _Found(None, None)
            self._require_own(ticker, security_id)
        listed = self._price_list.prices.get(ticker) or self._price_list.missing.get(ticker)
        if listed is not None:
            return _Found(ticker, listed)
        load_price = partial(self._pricing.price, ticker, deadline=deadline)
        return _Found(ticker, await self._price_gaps.get(ticker, load_price, deadline=deadline))

    def _require_own(self, ticker: str, security_id: str) -> None:
        """Require that no other security has the ticker of a security that is missing from the list."""
        owners = {*self._security_list.owners.get(ticker, ()), self._gap_owners.setdefault(ticker, security_id)}
        if owners != {security_id}:
            reason = shared_ticker(ticker, (security_id, *sorted(owners - {security_id})))
            _require_valid(self._securities.client, {security_id: reason})


class _Found(Struct, frozen=True):
    """What the services have about one security; no ticker if it is unknown."""

    ticker: str | None
    price: Decimal | MissingPrice | None


def _is_usable(price_list: PriceList) -> bool:
    """Return whether a list is worth keeping: one without any usable price shows a service that fails."""
    return bool(price_list.prices) or not price_list.missing


def _require_valid(client: ServiceClient, reasons: dict[str, str]) -> None:
    """Raise `BooksInvalid` if there is a reason; it names all securities concerned and at most three reasons."""
    if reasons:
        different = list(dict.fromkeys(reasons.values()))
        more = f"; and {len(different) - 3} more" if len(different) > 3 else ""
        raise BooksInvalid(client.name, "; ".join(different[:3]) + more, tuple(reasons))


class MarketData:
    """Load price snapshots.

    Args:
        security: client of the Security Service.
        pricing: client of the Pricing Service.
        security_ttl_seconds: how long the list of securities is used; 0 reads it every time.
        price_ttl_seconds: how long a price list is shared, with its own `taken_at`; 0 reads it every time.
        maximum_price_age: None to use prices of any age.
    """

    def __init__(
        self,
        security: ServiceClient,
        pricing: ServiceClient,
        *,
        security_ttl_seconds: float,
        price_ttl_seconds: float,
        maximum_price_age: MaximumAge | None = None,
    ) -> None:
        self._securities = Securities(security)
        self._pricing = Pricing(pricing, maximum_price_age)
        self._security_lists: LoadingCache[None, SecurityList] = LoadingCache(
            "securities", security, max_entries=1, ttl_seconds=security_ttl_seconds
        )
        self._price_lists: LoadingCache[None, PriceList] = LoadingCache(
            "prices", pricing, max_entries=1, ttl_seconds=price_ttl_seconds, keep=_is_usable
        )

    async def snapshot(self, *, deadline: float | None) -> PriceSnapshot:
        """Return all securities and their prices as they are now, or were at most the caches' times to live ago.

        Raises:
            ServiceError: one of the two lists could not be read.
        """
        securities, pricing = self._securities, self._pricing
        with _first_failure():
            async with asyncio.TaskGroup() as group:
                security_list = group.create_task(
                    self._security_lists.get(None, lambda: securities.all(deadline=deadline), deadline=deadline)
                )
                price_list = group.create_task(
                    self._price_lists.get(None, lambda: pricing.prices(deadline=deadline), deadline=deadline)
                )
        return PriceSnapshot(security_list.result(), price_list.result(), securities, pricing)


@contextmanager
def _first_failure() -> Iterator[None]:
    """Raise a task group's first failure by itself, as if the calls had been made one after the other."""
    try:
        yield
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
