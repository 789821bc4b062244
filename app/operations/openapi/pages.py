"""The API document and the two pages that show it, rendered from files of the package: no page needs the internet."""

from pathlib import Path
from typing import Any, override

from litestar import Request, Response, Router, get
from litestar.datastructures import CacheControlHeader
from litestar.enums import MediaType
from litestar.exceptions import NotFoundException
from litestar.file_system import BaseLocalFileSystem
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import Contact, License, Tag
from litestar.static_files import create_static_files_router
from litestar.types import PathType
from litestar.types.file_types import FileInfo

from app.http.dialect import Dialect
from app.http.exact_json import encode
from app.operations.openapi.document import finished

TITLE = "GlobeCo Order Generation Service"
STATIC = Path(__file__).with_name("static")

_HEAD = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{TITLE}</title>
<meta http-equiv="Content-Security-Policy" content="connect-src 'self'; font-src 'self' data:; img-src 'self' data:">
<link rel="icon" type="image/png" href="/static/swagger-ui/favicon-32x32.png">
"""
"""The policy keeps what the pages' scripts would fetch from elsewhere, such as a logo, from being asked for."""

SWAGGER_PAGE = f"""{_HEAD}<link rel="stylesheet" href="/static/swagger-ui/swagger-ui.css">
<style>body {{ margin: 0 }}</style>
</head>
<body>
<div id="page"></div>
<script src="/static/swagger-ui/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({{
  url: "/docs/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
}})
</script>
</body>
</html>
"""

REDOC_PAGE = f"""{_HEAD}<style>body {{ margin: 0 }}</style>
</head>
<body>
<div id="page"></div>
<script src="/static/redoc/redoc.standalone.js"></script>
<script>
Redoc.init("/docs/openapi.json", {{ hideDownloadButton: false }}, document.getElementById("page"))
</script>
</body>
</html>
"""


class _PackageFiles(BaseLocalFileSystem):
    """The files of the package; a name that no file can have is the name of no file."""

    @override
    async def info(self, path: PathType, **kwargs: Any) -> FileInfo:
        """Return what is known of a file.

        Raises:
            FileNotFoundError: no such file, or its name is too long or contains a NUL.
        """
        try:
            return await super().info(path, **kwargs)
        except (OSError, ValueError) as error:
            raise FileNotFoundError(path) from error


static_files = create_static_files_router(
    path="/static",
    directories=[STATIC],
    file_system=_PackageFiles(),
    include_in_schema=False,
    cache_control=CacheControlHeader(max_age=86400, public=True),
)


@get("/redoc", include_in_schema=False, media_type=MediaType.HTML, sync_to_thread=False)
def redoc() -> str:
    """Show the API with Redoc."""
    return REDOC_PAGE


class _SwaggerPage(OpenAPIRenderPlugin):
    """Shows the API with Swagger UI."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002
        return SWAGGER_PAGE.encode()


class _Document(OpenAPIRenderPlugin):
    """Return the document itself, built at the first request."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(path="/openapi.json", media_type=MediaType.JSON)
        self._dialect = dialect
        self._document: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002
        if self._document is None:
            self._document = encode(finished(openapi_schema, self._dialect))
        return self._document


async def _refuse_unknown(response: Response[Any]) -> Response[Any]:
    """Return the usual error for a page that does not exist, instead of Litestar's own page."""
    if response.status_code == NotFoundException.status_code:
        raise NotFoundException
    return response


def openapi_config(version: str, dialect: Dialect) -> OpenAPIConfig:
    """Configure the document and where it is shown."""
    return OpenAPIConfig(
        title=TITLE,
        version=version,
        summary="Investment models, and the exact whole-share orders that bring portfolios back to them.",
        description=(
            "Decimals are JSON numbers without rounding; parse them as decimals. Date-times are UTC. Every key is "
            "always present, and null where there is no value. Every error, including that of an unknown route, is an "
            "`ErrorEnvelope`, and every response names its request in `X-Correlation-ID`."
        ),
        contact=Contact(name="KASBench", url="https://kasbench.org"),
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        tags=[
            Tag("Models", "Investment models: what to hold, with which tolerance, in which portfolios."),
            Tag("Rebalancing", "Trades that bring portfolios back to a model, and their history."),
            Tag("Orders", "The trades of a rebalance as orders of the Order Service, each sent at most once."),
            Tag("Service", "Probes and version."),
        ],
        openapi_router=Router("/docs", route_handlers=[], include_in_schema=False, after_request=_refuse_unknown),
        render_plugins=[_SwaggerPage(path="/"), _Document(dialect)],
        use_handler_docstrings=True,
    )
