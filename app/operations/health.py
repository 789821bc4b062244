"""Liveness and readiness, as a cluster's probes ask for them."""

from typing import Any, Literal

from litestar import Controller, Request, Response, get
from msgspec import Struct

from app.http.framework import ExactResponse
from app.http.responses import documented
from app.operations.readiness import Readiness


class LiveDTO(Struct, frozen=True, rename="camel"):
    """The process is alive."""

    status: Literal["UP"]


class ReadyDTO(Struct, frozen=True, rename="camel"):
    """Whether requests can be served.

    `database` is null in the stateless optimiser, which has none. `databaseFault` is null, or the reason that the error
    `DATABASE_UNAVAILABLE` has in its details. `upstreams` has the state of each upstream's circuit breaker, which does
    not affect the status.
    """

    status: Literal["UP", "DOWN"]
    database: Literal["UP", "DOWN"] | None
    database_fault: str | None
    solvers: Literal["UP", "DOWN"]
    upstreams: dict[str, str]


class HealthController(Controller):
    """The two probes."""

    path = "/health"
    tags = ("Service",)

    @get("/live", operation_id="getLiveness", summary="Is the process alive?")
    async def live(self) -> LiveDTO:
        """Return 200 as long as the process runs; the database, the solvers and the upstreams are not checked."""
        return LiveDTO("UP")

    @get(
        "/ready",
        operation_id="getReadiness",
        summary="Is the service ready for requests?",
        responses=documented(ReadyDTO, 503, "The database or the solvers are unavailable."),
    )
    async def ready(self, readiness: Readiness, request: Request[Any, Any, Any]) -> Response[ReadyDTO]:
        """Return 200 if the database and a solver process are available, otherwise 503 with the part that is not.

        The circuit breakers of the upstreams are shown, and do not affect the status.
        """
        state = readiness.state()
        body = ReadyDTO(
            status=_word(state.database and state.solvers),
            database=_word(state.database) if readiness.has_database else None,
            database_fault=state.database_fault,
            solvers=_word(state.solvers),
            upstreams=dict(state.upstreams),
        )
        # The class of the dialect, as a response that a handler builds is not converted.
        response_class = request.app.response_class or ExactResponse
        return response_class(body, status_code=200 if body.status == "UP" else 503)


def _word(up: bool) -> Literal["UP", "DOWN"]:
    return "UP" if up else "DOWN"
