"""The pages."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlencode

import structlog
from bson import ObjectId
from litestar import Controller, Request, Response, get, post
from litestar.enums import MediaType
from litestar.params import PathParameter
from litestar.response import Redirect, Stream
from litestar.status_codes import HTTP_303_SEE_OTHER
from msgspec import Struct

from app.errors.codes import ErrorCode, InvalidField, OrderGenerationError
from app.errors.envelope import as_api_error
from app.http.correlation import trace_id
from app.http.dialect import Dialect
from app.http.identifiers import object_id
from app.orders.endpoints import LONGEST_USER, USER_HEADER, orders_allowed
from app.orders.schemas import OrdersRequest
from app.orders.submission import OrderSubmission
from app.pages import rules_form, service
from app.pages.content import PAGE_ROWS, document_of, leftover_of, tiles_of
from app.pages.rendering import HEADERS, page, prefix_of, render, report_style
from app.rebalancing.service import RebalanceService
from persistence import Database, Model, ModelField, SortKey
from solver.files import render_report

log = structlog.get_logger(__name__)

HOME_ROWS = 20
REPORT_ROWS = 20
PROGRESS_SECONDS = 0.3
"""How often the progress of a preview is shown."""

Id = Annotated[str, PathParameter(description="24 hexadecimal characters.")]


class ModelRow(Struct, frozen=True):
    """A model on the first page."""

    model_id: str
    name: str
    portfolios: int
    securities: int
    last_rebalance: Any
    rebalance_id: str | None
    drift: Decimal | None


def error_page(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Show an error as a page."""
    failure = as_api_error(error, request.app.state.dialect)
    if failure.code is ErrorCode.INTERNAL_ERROR:
        log.error("page failed unexpectedly", exc_info=error)
    title = "Not found" if failure.status == 404 else "The request failed"
    return page(request, "error.html", failure.status, title=title, error=failure, trace_id=trace_id())


def same_site(connection: Any, _: Any) -> None:
    """Reject a form that another site sends.

    Raises:
        OrderGenerationError: `CROSS_SITE`.
    """
    if connection.headers.get("Sec-Fetch-Site", "").strip().lower() == "cross-site":
        raise OrderGenerationError(ErrorCode.CROSS_SITE, "A browser sent this form from another site.")


def only_forms(connection: Any, _: Any) -> None:
    """Reject a body that is no form: its rules would be ignored.

    Raises:
        OrderGenerationError: `UNSUPPORTED_MEDIA_TYPE`.
    """
    kind = connection.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in {"", "application/x-www-form-urlencoded", "multipart/form-data"}:
        raise OrderGenerationError(
            ErrorCode.UNSUPPORTED_MEDIA_TYPE,
            "The body must be a form, application/x-www-form-urlencoded or multipart/form-data.",
        )


@get("/pages/static/report.css", include_in_schema=False, media_type=MediaType.CSS, sync_to_thread=False)
def report_css() -> str:
    """Return the style sheet of the embedded report."""
    return report_style()


@get("/", include_in_schema=False)
async def optimizer_home(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Return the page that describes the stateless optimiser."""
    return page(request, "optimizer.html")


class PageController(Controller):
    """Pages for the portfolio manager."""

    include_in_schema = False
    exception_handlers = {Exception: error_page}  # noqa: RUF012 - Litestar declares it without ClassVar

    @get("/")
    async def home(self, request: Request[Any, Any, Any], database: Database) -> Response[bytes]:
        """List the models with the latest known drift of each."""
        pages = _pages(await database.models.count(), HOME_ROWS)
        number = _page_number(request, pages)
        models = database.models.each(
            offset=(number - 1) * HOME_ROWS, limit=HOME_ROWS, sort=(SortKey(ModelField.NAME, descending=False),)
        )
        rows = [await _model_row(database, model) async for model in models]
        return page(request, "home.html", rows=rows, page=number, pages=pages)

    @get("/pages/model/{model_id:str}")
    async def model(
        self, model_id: Id, request: Request[Any, Any, Any], database: Database, rebalances: RebalanceService
    ) -> Stream:
        """Show what a rebalance of a model would do now; nothing is stored."""
        model = await database.models.get(_id("modelId", model_id))
        return Stream(_model_page(request, model, rebalances), media_type=MediaType.HTML, headers=dict(HEADERS))

    @post("/pages/model/{model_id:str}/rebalance", guards=[same_site, only_forms])
    async def rebalance(self, model_id: Id, request: Request[Any, Any, Any], rebalances: RebalanceService) -> Redirect:
        """Rebalance a model once for each form, and show the report."""
        fields = {name: str(value) for name, value in (await request.form()).items()}
        key = fields.get("key") or str(uuid.uuid4())
        rebalance_request = rules_form.request_of(rules_form.rules_of(fields), preview=False)
        stored = await service.rebalance(rebalances, _id("modelId", model_id), rebalance_request, key)
        target = f"/pages/model/{model_id}" if stored is None else f"/pages/rebalance/{stored}"
        return Redirect(prefix_of(request) + target, status_code=HTTP_303_SEE_OTHER)

    @get("/pages/model/{model_id:str}/rebalance")
    async def rebalance_form(self, model_id: Id, request: Request[Any, Any, Any]) -> Redirect:
        """Lead from the address of the form, which the browser shows after an error, to its page."""
        target = f"{prefix_of(request)}/pages/model/{_id('modelId', model_id)}"
        return Redirect(target, status_code=HTTP_303_SEE_OTHER)

    @get("/pages/rebalance/{rebalance_id:str}/orders")
    async def orders_form(self, rebalance_id: Id, request: Request[Any, Any, Any]) -> Redirect:
        """Lead from the address of the form, which the browser shows after an error, to its page."""
        target = f"{prefix_of(request)}/pages/rebalance/{_id('rebalanceId', rebalance_id)}"
        return Redirect(target, status_code=HTTP_303_SEE_OTHER)

    @get("/pages/rebalance/{rebalance_id:str}")
    async def report(
        self,
        rebalance_id: Id,
        request: Request[Any, Any, Any],
        database: Database,
        order_submission: OrderSubmission,
        dialect: Dialect,
    ) -> Response[bytes]:
        """Show everything that is stored of a rebalance."""
        rebalance = await database.rebalances.get(_id("rebalanceId", rebalance_id))
        summary, portfolio_ids = await service.summary_of(database, rebalance)
        pages = _pages(len(portfolio_ids), REPORT_ROWS)
        number = _page_number(request, pages)
        shown = portfolio_ids[(number - 1) * REPORT_ROWS : number * REPORT_ROWS]
        rows, unreadable = await service.portfolios_of(database, rebalance.id, shown)
        orders = await service.orders_of(order_submission, rebalance.id, dialect)
        enabled = request.app.state.orders_enabled
        rules = _stored_rules(rebalance.rules)
        return page(
            request,
            "rebalance.html",
            rebalance=rebalance,
            sentence=rules_form.sentence_of(rebalance.rules or {}),
            summary=summary,
            rows=[row for row, _ in rows],
            reports=[
                (row, render_report([document_of(row.portfolio, proof, rules)]), leftover_of(row.portfolio))
                for row, proof in rows
            ],
            orders=orders,
            orders_in_trouble=[
                (portfolio.portfolio_id, order)
                for portfolio in (orders.portfolios if orders else ())
                for order in portfolio.orders
                if order.status in {"REFUSED", "UNKNOWN"}
            ][:PAGE_ROWS],
            orders_enabled=enabled,
            trades=await service.count_trades(database, rebalance) if enabled and orders is None else 0,
            missing=rebalance.number_of_portfolios - len(portfolio_ids) + unreadable,
            page=number,
            pages=pages,
        )

    @post("/pages/rebalance/{rebalance_id:str}/orders", guards=[same_site, only_forms, orders_allowed])
    async def send_orders(
        self, rebalance_id: Id, request: Request[Any, Any, Any], order_submission: OrderSubmission
    ) -> Redirect:
        """Send the orders of a rebalance, each at most once, and show their state."""
        submit = (await request.form()).get("submit") == "true"
        user = request.headers.get(USER_HEADER, "")[:LONGEST_USER] or None
        await order_submission.request(_id("rebalanceId", rebalance_id), OrdersRequest(submit=submit), user)
        return Redirect(f"{prefix_of(request)}/pages/rebalance/{rebalance_id}", status_code=HTTP_303_SEE_OTHER)


async def _model_page(
    request: Request[Any, Any, Any], model: Model, rebalances: RebalanceService
) -> AsyncIterator[str]:
    """Write the page of a model: its head at once, then the progress of the preview, then the preview."""
    fields = {name: str(value) for name, value in request.query_params.items()}
    rules = rules_form.rules_of(fields)
    fault, sentence = rules_form.fault_of(rules), rules_form.sentence_of(rules)
    shared: dict[str, Any] = {"model": model, "rules": rules, "fields": fields, "fault": fault, "sentence": sentence}
    texts = (*rules_form.AMOUNTS, *rules_form.LISTS)
    yield render(request, "model_start.html", choices=rules_form.CHOICES, texts=texts, **shared)
    previewed, error = None, None
    if model.portfolios and fault is None:
        done = 0

        def count() -> None:
            nonlocal done
            done += 1

        work = asyncio.create_task(
            service.preview(
                rebalances, model, rules_form.request_of(rules, preview=True), request.app.state.dialect, count
            )
        )
        try:
            while not work.done():
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(work), PROGRESS_SECONDS)
                if not work.done():
                    yield render(request, "model_progress.html", done=done, total=len(model.portfolios))
            previewed = work.result()
        except Exception as failure:
            error = as_api_error(failure, request.app.state.dialect)
            if error.code is ErrorCode.INTERNAL_ERROR:
                log.exception("preview failed unexpectedly")
        finally:
            work.cancel()
    yield render(
        request, "model_rest.html", **{**shared, "error": error, **_preview(request, previewed, rules, fields)}
    )


def _preview(
    request: Request[Any, Any, Any],
    previewed: service.Previewed | None,
    rules: Mapping[str, object],
    fields: Mapping[str, str],
) -> dict[str, Any]:
    rows = previewed.rows if previewed else []
    pages = _pages(len(rows), PAGE_ROWS)
    number = _page_number(request, pages)
    chosen = fields.get("portfolio")
    opened = next((row for row in rows if row.portfolio.portfolio_id == chosen), rows[0] if rows else None)
    report = leftover = None
    if opened is not None and previewed is not None:
        proof = previewed.proofs[opened.portfolio.portfolio_id]
        solver_rules = rules_form.request_of(rules, preview=True).solver_rules()
        report = render_report([document_of(opened.portfolio, proof, solver_rules)])
        leftover = leftover_of(opened.portfolio)
    of_rules = {name: value for name, value in fields.items() if name not in {"portfolio", "page", "key"}}
    return {
        "tiles": tiles_of(rows) if rows else None,
        "rows": rows[(number - 1) * PAGE_ROWS : number * PAGE_ROWS],
        "opened": opened.portfolio if opened else None,
        "report": report,
        "leftover": leftover,
        "help": opened.help if opened else None,
        "key": str(uuid.uuid4()),
        "page": number,
        "pages": pages,
        "url": "?" + (urlencode(of_rules) + "&" if of_rules else ""),
        "fields": of_rules,
    }


async def _model_row(database: Database, model: Model) -> ModelRow:
    rebalance = None
    if model.last_rebalance_date is not None:
        rebalance = await database.rebalances.of_model_at(model.id, model.last_rebalance_date)
    drift = None
    if rebalance is not None:
        summary, _ = await service.summary_of(database, rebalance)
        drift = summary.drift_after
    return ModelRow(
        str(model.id),
        model.name,
        len(model.portfolios),
        len(model.positions),
        model.last_rebalance_date,
        str(rebalance.id) if rebalance else None,
        drift,
    )


def _stored_rules(document: Mapping[str, object] | None) -> Any:
    if not document:
        return None
    with suppress(OrderGenerationError):
        return rules_form.request_of(document, preview=True).solver_rules()
    return None


def _id(field: str, value: str) -> ObjectId:
    """Read an id; what cannot be one is the id of nothing."""
    try:
        return object_id(field, value)
    except InvalidField:
        raise OrderGenerationError(ErrorCode.NOT_FOUND, f"There is no page for the id {value[:100]}.") from None


def _page_number(request: Request[Any, Any, Any], pages: int) -> int:
    """Return the page that is asked for; the last one if there are fewer, and the first one if it is no number."""
    text = request.query_params.get("page", "1")
    return max(1, min(int(text), pages)) if text.isascii() and text.isdigit() and len(text) < 8 else 1


def _pages(count: int, rows: int) -> int:
    return max(1, -(-count // rows))
