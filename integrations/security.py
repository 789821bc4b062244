"""The Security Service: which ticker a security trades under.

`GET /api/v1/securities` answers a bare array of all securities, `GET /api/v1/security/{id}` one of them or 404. An id
that is not 24 hex characters makes the service fail with 500, so it is never asked for one.
"""

import re

from msgspec import Raw, Struct

from integrations.http.client import ServiceClient
from integrations.http.errors import NotFound
from integrations.validation import MAX_LIST_BYTES, EntityId, Ticker, read_rows

_ASKABLE = re.compile(r"[0-9A-Fa-f]{24}")


class _Security(Struct, frozen=True, rename="camel"):
    security_id: EntityId
    ticker: Ticker


def _entry(row: _Security) -> tuple[str, str]:
    return row.security_id, row.ticker


class Securities:
    """Reads tickers by security id."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def tickers(self, *, deadline: float | None) -> dict[str, str]:
        """The tickers of all securities by security id; a malformed row is left out and reported.

        Raises:
            ServiceError: no usable answer; `BAD_PAYLOAD` also where not one of the rows is usable.
        """
        answer = await self._client.get(
            "/api/v1/securities", expect=list[Raw], deadline=deadline, max_response_bytes=MAX_LIST_BYTES
        )
        return read_rows(self._client, answer, _Security, _entry)

    async def ticker(self, security_id: str, *, deadline: float | None) -> str | None:
        """The ticker of one security, None where the service knows no such security.

        Raises:
            ServiceError: no usable answer.
        """
        if not _ASKABLE.fullmatch(security_id):
            return None
        try:
            security = await self._client.get(
                f"/api/v1/security/{security_id}",
                expect=_Security,
                deadline=deadline,
                identify=lambda found: found.security_id == security_id,
            )
        except NotFound:
            return None
        return security.ticker
