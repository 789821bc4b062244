"""The stateless endpoint."""

from litestar import Controller, MediaType, Response, post
from litestar.response import Stream

from app.errors.codes import ErrorCode
from app.http.responses import documented, errors
from app.http.streaming import BLOCK_BYTES, blocks
from app.optimizations.schemas import OptimizationRequest
from app.optimizations.service import OptimizationService
from app.solver_task.schemas import OptimizationDTO

MAXIMUM_BODY_BYTES = 16_000_000


class OptimizationController(Controller):
    """Optimise portfolios that the request contains."""

    path = "/api/v1"
    tags = ("Optimisation",)

    @post(
        "/optimizations",
        operation_id="optimizePortfolios",
        summary="Optimise portfolios without reading or storing anything",
        status_code=200,
        request_max_body_size=MAXIMUM_BODY_BYTES,
        responses=errors(ErrorCode.OVERLOADED, body=True, database=False) | documented(list[OptimizationDTO]),
    )
    async def optimize(self, data: OptimizationRequest, optimizations: OptimizationService) -> Response[bytes] | Stream:
        """Compute the trades of every portfolio in the request, each with its proof.

        Nothing is read from other services, nothing is stored and no orders are sent. The response has one element
        for each portfolio, in the order of the request; a portfolio that fails has the reason in `error`.
        """
        body = await optimizations.optimize(data)
        if len(body) < BLOCK_BYTES:
            return Response(b"".join([part async for part in body.array()]), media_type=MediaType.JSON)
        return Stream(blocks(body.array()), media_type=MediaType.JSON)
