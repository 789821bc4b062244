"""The Security Service: the ticker of a security.

`GET /api/v1/securities` returns a bare array of all securities, `GET /api/v1/security/{id}` one of them or 404. The
service fails with 500 for an id that is not 24 hex characters, so it never receives one.
"""

import re

import msgspec
from msgspec import Raw, Struct

from integrations.http.client import ServiceClient
from integrations.http.errors import NotFound
from integrations.validation import MAX_LIST_BYTES, EntityId, Ticker, read_rows

_KNOWABLE = re.compile(r"[0-9A-Fa-f]{24}")


class _Security(Struct, frozen=True, rename="camel"):
    security_id: EntityId
    ticker: Ticker


_decode = msgspec.json.Decoder(_Security).decode


class SecurityList(Struct, frozen=True):
    """All securities.

    Attributes:
        tickers: by security id, each ticker of one security only.
        owners: all ids of each ticker, also of those that several securities have.
        contradictions: why a security has no ticker that can be relied on, by security id.
    """

    tickers: dict[str, str]
    owners: dict[str, tuple[str, ...]]
    contradictions: dict[str, str]


class Securities:
    """Reads tickers by security id."""

    def __init__(self, client: ServiceClient) -> None:
        self.client = client

    async def all(self, *, deadline: float | None) -> SecurityList:
        """Return all securities; a malformed row is left out and reported to the observer.

        Raises:
            ServiceError: no usable response; `BAD_PAYLOAD` also if all rows are malformed.
        """
        response = await self.client.get(
            "/api/v1/securities", expect=list[Raw], deadline=deadline, max_response_bytes=MAX_LIST_BYTES
        )
        return _checked(*_read(self.client, response))

    async def ticker(self, security_id: str, *, deadline: float | None) -> str | None:
        """Return the ticker of one security, None if the service does not know the security.

        Raises:
            ServiceError: no usable response.
        """
        if not _KNOWABLE.fullmatch(security_id):
            return None
        try:
            security = await self.client.get(
                f"/api/v1/security/{security_id}",
                expect=_Security,
                deadline=deadline,
                identify=lambda found: found.security_id == security_id,
            )
        except NotFound:
            return None
        return security.ticker


def _read(client: ServiceClient, response: list[Raw]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the tickers by security id, and why the rows of a security contradict each other."""

    def read(raw: Raw) -> tuple[str, str]:
        row = _decode(raw)
        return row.security_id, row.ticker

    rows = read_rows(client, response, read)
    reasons = {
        security_id: f"security {security_id} has the tickers {first} and {second}"
        for security_id, (first, second) in rows.conflicts.items()
    }
    return rows.values, reasons


def _checked(tickers: dict[str, str], contradictions: dict[str, str]) -> SecurityList:
    """Leave out securities that share a ticker: a price by ticker would belong to only one of them."""
    owners: dict[str, tuple[str, ...]] = {}
    for security_id, ticker in tickers.items():
        owners[ticker] = (*owners.get(ticker, ()), security_id)
    for ticker, security_ids in owners.items():
        if len(security_ids) > 1:
            contradictions |= dict.fromkeys(security_ids, shared_ticker(ticker, security_ids))
    usable = {key: ticker for key, ticker in tickers.items() if key not in contradictions}
    return SecurityList(usable, owners, contradictions)


def shared_ticker(ticker: str, security_ids: tuple[str, ...]) -> str:
    """Return the phrase for securities that have the same ticker; it names at most three of them."""
    named = ", ".join(security_ids[:3]) + (f" and {len(security_ids) - 3} more" if len(security_ids) > 3 else "")
    return f"securities {named} have the same ticker {ticker}"
