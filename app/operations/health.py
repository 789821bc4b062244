"""Liveness and readiness, as a cluster's probes ask for them."""

from typing import Literal

from litestar import Controller, Response, get
from msgspec import Struct

from app.http.responses import answers
from app.operations.readiness import Readiness


class LiveDTO(Struct, frozen=True, rename="camel"):
    """The process runs."""

    status: Literal["UP"]


class ReadyDTO(Struct, frozen=True, rename="camel"):
    """Whether requests can be served; `upstreams` has the state of each neighbour's circuit and decides nothing."""

    status: Literal["UP", "DOWN"]
    database: Literal["UP", "DOWN"]
    solvers: Literal["UP", "DOWN"]
    upstreams: dict[str, str]


class HealthController(Controller):
    """The two probes."""

    path = "/health"
    tags = ("Service",)

    @get("/live", operation_id="getLiveness", summary="Is the process alive?")
    async def live(self) -> LiveDTO:
        """Answer without touching anything."""
        return LiveDTO("UP")

    @get(
        "/ready",
        operation_id="getReadiness",
        summary="Can the service take requests?",
        responses=answers(ReadyDTO, 503, "The database or the solvers are away."),
    )
    async def ready(self, readiness: Readiness) -> Response[ReadyDTO]:
        """Answer 503 while the database or the solvers are away."""
        state = readiness.state()
        body = ReadyDTO(
            status=_word(state.database and state.solvers),
            database=_word(state.database),
            solvers=_word(state.solvers),
            upstreams=dict(state.upstreams),
        )
        return Response(body, status_code=200 if body.status == "UP" else 503)


def _word(up: bool) -> Literal["UP", "DOWN"]:
    return "UP" if up else "DOWN"
