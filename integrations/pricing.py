"""The Pricing Service: the price of a share, by ticker only.

`GET /api/v1/prices` returns a bare array of all prices, `GET /api/v1/price/{ticker}` one of them or 404; a ticker is
case-sensitive. The price is `close`, a JSON number. The service draws every response at random around a mean, so the
prices of two responses are not of one moment: a snapshot uses one list.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from integrations.http.client import ServiceClient
from integrations.http.errors import NotFound
from integrations.validation import MAX_LIST_BYTES, Ticker, broken_limit, read_rows, shown


class PriceFault(StrEnum):
    """Why a security cannot be priced."""

    NO_PRICE = "NO_PRICE"
    """The service has no price for its ticker."""
    UNUSABLE = "UNUSABLE"
    """The price is not a number above 0."""
    TOO_OLD = "TOO_OLD"
    """The price's own date is too old, or missing although an age is demanded."""
    INVALID = "INVALID"
    """The price breaks the limits of numbers, or the rows of its ticker contradict each other."""


class MissingPrice(Struct, frozen=True):
    """A price that cannot be used.

    Attributes:
        value: the price as received; None if missing.
        date: the price's own date as received; None if missing.
        explanation: a phrase such as `unusable price 0: not above 0`.
    """

    fault: PriceFault
    explanation: str
    value: str | None = None
    date: str | None = None


NO_PRICE = MissingPrice(PriceFault.NO_PRICE, "no price")


class PriceList(Struct, frozen=True):
    """Prices by ticker as one response has them.

    Attributes:
        prices: money per share, above 0.
        missing: tickers that are in the list without a price that can be used.
        taken_at: when the response was complete, UTC.
    """

    prices: dict[str, Decimal]
    missing: dict[str, MissingPrice]
    taken_at: datetime


class _Row(Struct, frozen=True):
    ticker: Ticker
    close: Raw = Raw(b"")
    date: Raw = Raw(b"")


_decode_row = msgspec.json.Decoder(_Row).decode
_decode_price = msgspec.json.Decoder(Decimal).decode
_decode_date = msgspec.json.Decoder(str | None).decode


class MaximumAge(Struct, frozen=True):
    """How old a price may be by its own date.

    Attributes:
        days: a price dated this many days ago is still used.
        today: returns the current date.
    """

    days: int
    today: Callable[[], date]

    def fault(self, value: str, dated: str | None) -> MissingPrice | None:
        """Return why a price of this date is not used; None if it is recent enough."""
        try:
            day = None if dated is None else date.fromisoformat(dated[:10])
        except ValueError:
            day = None
        if day is None:
            reason = f"price {value} has no date" if dated is None else f"price {value} has the date {shown(dated)}"
            return MissingPrice(PriceFault.TOO_OLD, reason, value, dated)
        if self.today() - day <= timedelta(days=self.days):
            return None
        reason = f"price {value} of {day.isoformat()} is older than {self.days} days"
        return MissingPrice(PriceFault.TOO_OLD, reason, value, dated)


class Pricing:
    """Reads prices.

    Args:
        client: of the Pricing Service.
        maximum_age: None to use prices of any age.
    """

    def __init__(self, client: ServiceClient, maximum_age: MaximumAge | None = None) -> None:
        self.client = client
        self._maximum_age = maximum_age

    async def prices(self, *, deadline: float | None) -> PriceList:
        """Return all prices of one moment; a row without a ticker is left out, and the observer is notified.

        Raises:
            ServiceError: no usable response; `BAD_PAYLOAD` also if all rows are malformed.
        """
        response = await self.client.get(
            "/api/v1/prices", expect=list[Raw], deadline=deadline, max_response_bytes=MAX_LIST_BYTES
        )
        rows = read_rows(self.client, response, self._read)
        missing = {ticker: row for ticker, row in rows.values.items() if isinstance(row, MissingPrice)}
        if missing:
            ticker, first = next(iter(missing.items()))
            self.client.observer.rows_rejected(self.client.name, len(missing), f"{ticker}: {first.explanation}")
        for ticker, (one, other) in rows.conflicts.items():
            reason = f"ticker {ticker} has contradictory prices: {_value(one)} and {_value(other)}"
            missing[ticker] = MissingPrice(PriceFault.INVALID, reason)
        prices = {ticker: row for ticker, row in rows.values.items() if isinstance(row, Decimal)}
        return PriceList(prices, missing, datetime.now(UTC))

    async def price(self, ticker: str, *, deadline: float | None) -> Decimal | MissingPrice:
        """Return the price of one ticker, or the reason why it is missing or unusable.

        Raises:
            ServiceError: no usable response.
        """
        try:
            row = await self.client.get(
                f"/api/v1/price/{quote(ticker, safe='')}",
                expect=_Row,
                deadline=deadline,
                identify=lambda found: found.ticker == ticker,
            )
        except NotFound:
            return NO_PRICE
        price = self._price(row)
        if isinstance(price, MissingPrice):
            self.client.observer.rows_rejected(self.client.name, 1, f"{ticker}: {price.explanation}")
        return price

    def _read(self, raw: Raw) -> tuple[str, Decimal | MissingPrice]:
        row = _decode_row(raw)
        return row.ticker, self._price(row)

    def _price(self, row: _Row) -> Decimal | MissingPrice:
        text = shown(bytes(row.close).decode(errors="replace").strip('"'))
        if not row.close:
            return MissingPrice(PriceFault.UNUSABLE, "row without a price")
        try:
            price = _decode_price(row.close)
        except msgspec.MsgspecError:
            price = Decimal("NaN")
        if not price.is_finite():
            return MissingPrice(PriceFault.UNUSABLE, f"unusable price {text}: not a number", text)
        if price <= 0:
            return MissingPrice(PriceFault.UNUSABLE, f"unusable price {text}: not above 0", text)
        if limit := broken_limit(price):
            return MissingPrice(PriceFault.INVALID, f"price {text} of {row.ticker} {limit}", text)
        if self._maximum_age is not None and (fault := self._maximum_age.fault(text, _date(row.date))):
            return fault
        return price


def _date(raw: Raw) -> str | None:
    """Return a row's date as text; what is not a text is shown as received."""
    if not raw:
        return None
    try:
        dated: str | None = _decode_date(raw)
    except msgspec.MsgspecError:
        return shown(bytes(raw).decode(errors="replace"))
    return dated


def _value(price: Decimal | MissingPrice) -> str:
    return (price.value or "none") if isinstance(price, MissingPrice) else f"{price:f}"
