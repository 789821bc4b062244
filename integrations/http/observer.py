"""The interface through which the clients report events, for metrics and logs."""

from typing import Protocol

from integrations.http.errors import Cause


class Observer(Protocol):
    """Receives events of the clients, on the event loop; its methods return at once and do not raise."""

    def request_finished(self, service: str, outcome: str, seconds: float) -> None:
        """Record that a request ended: `ok`, `not_found`, `status_4xx`, `status_5xx`, `cancelled` or a `Cause`."""

    def response_discarded(self, service: str, reason: str) -> None:
        """Record that a response may have belonged to another request; its own was sent again on a new connection."""

    def rejected(self, service: str) -> None:
        """Record that a circuit breaker rejected a call, so no request was sent."""

    def retrying(self, service: str, cause: Cause, wait_seconds: float) -> None:
        """Record that a request failed and will be sent again after a wait."""

    def breaker_changed(self, service: str, state: str) -> None:
        """Record that a circuit breaker's state changed to `closed`, `open` or `half_open`."""

    def cache_read(self, cache: str, hit: bool, times: int = 1) -> None:
        """Record that a cache was read: `securities`, `prices`, `security_gaps`, `price_gaps` or `portfolio_names`."""

    def rows_rejected(self, service: str, rows: int, reason: str) -> None:
        """Record that rows of a list were unusable; the reason is that of the first."""


class NoObserver:
    """An observer that ignores all events."""

    def request_finished(self, service: str, outcome: str, seconds: float) -> None:
        """See `Observer`."""

    def response_discarded(self, service: str, reason: str) -> None:
        """See `Observer`."""

    def rejected(self, service: str) -> None:
        """See `Observer`."""

    def retrying(self, service: str, cause: Cause, wait_seconds: float) -> None:
        """See `Observer`."""

    def breaker_changed(self, service: str, state: str) -> None:
        """See `Observer`."""

    def cache_read(self, cache: str, hit: bool, times: int = 1) -> None:
        """See `Observer`."""

    def rows_rejected(self, service: str, rows: int, reason: str) -> None:
        """See `Observer`."""
