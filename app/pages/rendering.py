"""Templates, filters and headers of the pages."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Request, Response
from litestar.datastructures import CacheControlHeader
from litestar.enums import MediaType
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.static_files import create_static_files_router
from litestar.template import TemplateConfig

from app.solver_task.rounding import EXACT, product, shortest
from solver.files import REPORT_STYLE

HERE = Path(__file__).parent
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
}
"""Of every page: nothing from elsewhere, and no inline script or style."""

HUNDRED, CENT = Decimal(100), Decimal("0.01")
NO_VALUE = "–"  # noqa: RUF001 - an en dash

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+){1,8}")


def percent(share: Decimal | None) -> str:
    """Write a share in percent with two decimals; a dash for None."""
    return NO_VALUE if share is None else f"{product(share, HUNDRED).quantize(CENT, ROUND_HALF_UP, EXACT):f}%"


def money(amount: Decimal | None) -> str:
    """Write money with separators of thousands and at least two decimals; a dash for None."""
    if amount is None:
        return NO_VALUE
    exponent = shortest(amount).as_tuple().exponent
    places = max(2, -exponent) if isinstance(exponent, int) else 2
    return f"{amount:,.{places}f}"


def quantity(shares: Decimal) -> str:
    """Write shares with separators of thousands."""
    return f"{shares:,f}"


def counted(count: int, noun: str) -> str:
    """Write a number with its noun, such as "1 portfolio" or "2 securities"."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun.removesuffix('y')}ies" if noun.endswith("y") else f"{count:,} {noun}s"


def moment(time: datetime) -> str:
    """Write a moment for people."""
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _engine() -> JinjaTemplateEngine:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(
        {"percent": percent, "money": money, "quantity": quantity, "counted": counted, "moment": moment}
    )
    return JinjaTemplateEngine.from_environment(environment)


TEMPLATES: TemplateConfig[Any] = TemplateConfig(instance=_engine())

static_files = create_static_files_router(
    path="/pages/static",
    directories=[HERE / "static"],
    include_in_schema=False,
    cache_control=CacheControlHeader(max_age=3600, public=True),
)


def report_style() -> str:
    """Return the style sheet of the embedded report."""
    return REPORT_STYLE


def prefix_of(request: Request[Any, Any, Any]) -> str:
    """Return the path below which a gateway publishes the service, from `X-Forwarded-Prefix`; empty for none."""
    prefix = request.headers.get("X-Forwarded-Prefix", "").rstrip("/")
    return prefix if _PREFIX.fullmatch(prefix) else ""


def render(request: Request[Any, Any, Any], template: str, **context: Any) -> str:
    """Render a template; every text in it is escaped."""
    engine = request.app.template_engine
    assert engine is not None, "the application has templates"
    rendered: str = engine.get_template(template).render(prefix=prefix_of(request), **context)
    return rendered


def page(request: Request[Any, Any, Any], template: str, status: int = 200, **context: Any) -> Response[bytes]:
    """Return a rendered page."""
    body = render(request, template, **context).encode()
    return Response(body, status_code=status, media_type=MediaType.HTML, headers=dict(HEADERS))
