"""The Pricing Service: what a share costs, by ticker only.

`GET /api/v1/prices` answers a bare array of all prices, `GET /api/v1/price/{ticker}` one of them or 404,
case-sensitive. The price is `close`, a JSON number. Every answer is drawn at random around a mean, so two calls never
belong together: one list is one moment.
"""

from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import quote

from msgspec import Raw, Struct

from integrations.http.client import ServiceClient
from integrations.http.errors import NotFound
from integrations.validation import MAX_LIST_BYTES, Ticker, check_price, read_rows


class PriceList(Struct, frozen=True):
    """Prices by ticker, money per share, above 0, as one answer gave them.

    Attributes:
        taken_at: when the answer was complete, UTC.
    """

    prices: dict[str, Decimal]
    taken_at: datetime


class _Price(Struct, frozen=True):
    ticker: Ticker
    close: Decimal


def _entry(row: _Price) -> tuple[str, Decimal]:
    check_price("close", row.close)
    return row.ticker, row.close


class Pricing:
    """Reads prices."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def prices(self, *, deadline: float | None) -> PriceList:
        """All prices of one moment; a row that is malformed, or whose price nobody could pay, is left out and reported.

        Raises:
            ServiceError: no usable answer; `BAD_PAYLOAD` also where not one of the rows is usable.
        """
        answer = await self._client.get(
            "/api/v1/prices", expect=list[Raw], deadline=deadline, max_response_bytes=MAX_LIST_BYTES
        )
        return PriceList(read_rows(self._client, answer, _Price, _entry), datetime.now(UTC))

    async def price(self, ticker: str, *, deadline: float | None) -> Decimal | None:
        """The price of one ticker, None where the service has none, or none that anybody could pay (0, negative).

        Raises:
            ServiceError: no usable answer.
        """
        try:
            row = await self._client.get(
                f"/api/v1/price/{quote(ticker, safe='')}",
                expect=_Price,
                deadline=deadline,
                identify=lambda found: found.ticker == ticker,
            )
        except NotFound:
            return None
        try:
            check_price("close", row.close)
        except ValueError as error:
            self._client.observer.rows_rejected(self._client.name, 1, str(error))
            return None
        return row.close
