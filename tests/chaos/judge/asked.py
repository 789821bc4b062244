"""A rebalance as a caller of the service remembers it."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from tests.chaos.judge.oracle import Model
from tests.chaos.judge.responses import ApiResponse, Failure

BROKEN = 0
"""In place of a status: the connection broke before there was a response."""


class Asked(Struct, frozen=True):
    """A rebalance that was asked for, and how the call ended.

    Attributes:
        status: of the response, or `BROKEN`.
        responses: the portfolios, where the status is 200.
        failure: the error, where it is another.
    """

    model: Model
    portfolio_ids: tuple[str, ...]
    key: str | None
    began: datetime
    ended: datetime
    status: int
    responses: tuple[ApiResponse, ...] = ()
    failure: Failure | None = None
    headers: dict[str, str] = {}

    @property
    def code(self) -> str:
        """The error's code; empty for a success or a broken connection."""
        return "" if self.failure is None else self.failure.code

    @property
    def message(self) -> str:
        """The error's message; empty for a success or a broken connection."""
        return "" if self.failure is None else self.failure.message

    @property
    def details(self) -> dict[str, Any]:
        """The error's details; empty for a success or a broken connection."""
        return {} if self.failure is None else self.failure.details

    @property
    def normal(self) -> bool:
        """Every portfolio completed."""
        return self.status == 200 and all(response.status == "COMPLETED" for response in self.responses)

    @property
    def undisturbed(self) -> bool:
        """Every portfolio completed, or is said to have no solution, which is judged like any response."""
        failures = [self.failure, *(response.error for response in self.responses)]
        return self.status in (200, 422) and all(
            failure is None or failure.details.get("solverStatus") == "INFEASIBLE" for failure in failures
        )

    @property
    def failed(self) -> dict[str, str]:
        """Why portfolios failed: code by id, in the order returned, whether all of them failed or only some."""
        return {response.portfolio_id: response.error.code for response in self.responses if response.error} | {
            each["portfolioId"]: each["code"] for each in self.details.get("portfolios", ())
        }

    @property
    def seconds(self) -> float:
        """How long the caller waited."""
        return (self.ended - self.began).total_seconds()

    @property
    def rebalance_id(self) -> str | None:
        """The rebalance that the response names."""
        if self.responses:
            return self.responses[0].rebalance_id
        return self.details.get("rebalanceId")

    @property
    def final(self) -> bool:
        """Whether a repeated request under the same key receives this response again."""
        return self.status in (200, 422, 500)

    @property
    def unclear(self) -> bool:
        """The caller cannot know whether anything was stored: no response, or one that reports a silent database."""
        return self.status == BROKEN or self.code == "DATABASE_UNAVAILABLE"

    def causes(self) -> set[str]:
        """Why portfolios failed for an upstream: each `service: cause`."""
        failures = [response.error for response in self.responses if response.error] + [self.failure] * (
            self.failure is not None
        )
        return {
            f"{failure.details['service']}: {failure.details['cause']}"
            for failure in failures
            if failure is not None and failure.code == "EXTERNAL_SERVICE_ERROR"
        }
