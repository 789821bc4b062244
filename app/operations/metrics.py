"""The metrics, as Prometheus asks for them."""

from typing import Any

from litestar import Request, Response, get
from prometheus_client.exposition import choose_encoder

from app.observability.metrics import Metrics


@get("/metrics", include_in_schema=False, sync_to_thread=False)
def prometheus(request: Request[Any, Any, Any], metrics: Metrics) -> Response[bytes]:
    """Return every metric, in the newest text format that the caller accepts."""
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(metrics.registry), headers={"Content-Type": content_type})
