"""The OpenAPI document and its two pages, rendered from files of the package: no page needs the internet."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from litestar import Request, get
from litestar.datastructures import CacheControlHeader
from litestar.enums import MediaType
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, RedocRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import Contact, License, OpenAPIType, Schema, Tag
from litestar.plugins import OpenAPISchemaPlugin
from litestar.static_files import create_static_files_router
from litestar.typing import FieldDefinition

STATIC = Path(__file__).parent.parent / "static"
FAVICON = '<link rel="icon" type="image/png" href="/static/swagger-ui/favicon-32x32.png">'

_redoc = RedocRenderPlugin(
    path="/redoc", js_url="/static/redoc/redoc.standalone.js", google_fonts=False, favicon=FAVICON
)
_swagger = SwaggerRenderPlugin(
    path="/",
    js_url="/static/swagger-ui/swagger-ui-bundle.js",
    css_url="/static/swagger-ui/swagger-ui.css",
    standalone_preset_js_url="/static/swagger-ui/swagger-ui-standalone-preset.js",
    favicon=FAVICON,
)

static_files = create_static_files_router(
    path="/static",
    directories=[STATIC],
    include_in_schema=False,
    cache_control=CacheControlHeader(max_age=86400, public=True),
)


@get("/redoc", include_in_schema=False, media_type=MediaType.HTML, sync_to_thread=False)
def redoc(request: Request[Any, Any, Any]) -> bytes:
    """Show the API with Redoc."""
    return _redoc.render(request, request.app.openapi_schema.to_schema())


class DecimalSchemaPlugin(OpenAPISchemaPlugin):
    """Describes decimals as the JSON numbers that they are on the wire."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        """Take Decimal and its subclasses."""
        return isinstance(value, type) and issubclass(value, Decimal)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:  # noqa: ARG002
        """Describe a decimal."""
        return Schema(type=OpenAPIType.NUMBER)


def openapi_config(version: str) -> OpenAPIConfig:
    """Configure the document and where it is shown."""
    return OpenAPIConfig(
        title="GlobeCo Order Generation Service",
        version=version,
        summary="Investment models, and the exact whole-share orders that bring portfolios back to them.",
        contact=Contact(name="KASBench", url="https://kasbench.org"),
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        tags=[
            Tag("Models", "Investment models: what to hold, with which tolerance, in which portfolios."),
            Tag("Rebalancing", "Orders that bring portfolios back to a model, and their history."),
            Tag("Service", "Probes."),
        ],
        path="/docs",
        render_plugins=[_swagger, JsonRenderPlugin(path="/openapi.json")],
        use_handler_docstrings=True,
    )
