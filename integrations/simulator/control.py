"""The control API: what a test or a demo changes in a simulator, and reads from it, while it runs."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from http import HTTPStatus

import msgspec
from aiohttp import web
from msgspec import Struct

from integrations.simulator.faults.kinds import Fault
from integrations.simulator.holdings import Holding, Holdings, SpecialCase
from integrations.simulator.reply import JSON
from integrations.simulator.settings import Service
from integrations.simulator.simulator import Simulator

CONTROL_HELP = """\
The control API, on a port of its own. SERVICE is portfolio-accounting, pricing, portfolio, security or order.

  GET    /control/urls             base URLs of the five services and of this API
  GET    /control/cases            the special portfolios: unfunded, small, short, overdrawn, many-rows ...
  GET    /control/portfolios/ID    {"name","cash","holdings":[{"securityId","quantity"}]}
  PUT    /control/portfolios/ID    the same: replaces the holdings; an unknown id becomes a new portfolio
  DELETE /control/portfolios/ID    restore the state of the seed
  GET    /control/prices           {"spread","prices":{TICKER: mean price}}
  PUT    /control/prices           {"spread":"0"} fixes the prices at their means, 0.016 draws as at the start
  DELETE /control/prices           restore the prices of the seed
  PUT    /control/prices/TICKER    {"price":"63.10"}: fix the price
  DELETE /control/prices/TICKER    no price for this ticker
  POST   /control/settle           apply the accepted orders to holdings and cash, at one draw of the prices
  GET    /control/orders           every created order, with the number of trades sent for it
  DELETE /control/orders           forget all orders
  GET    /control/calls            calls by service and route, and the last 200 with their correlation ids
  DELETE /control/calls            reset the counts
  GET    /control/faults           the faults of every service
  PUT    /control/faults/SERVICE   an array of faults that replaces the current ones; [] removes them
  DELETE /control/faults           remove every fault

Faults apply in order: delays add to what follows; of the others, only the first that applies is used:

  {"fault":"delay","seconds":0.2,"up_to":1.5}          wait, here 0.2 to 1.5 s
  {"fault":"error-status","status":503,"retry_after":2}
  {"fault":"hang"}                                     never reply
  {"fault":"hang-mid-body"}                            never send the second half of the body
  {"fault":"slow-body","bytes_per_second":100}
  {"fault":"repeat","seconds":0.1}                     send the response, and its bytes once more after 0.1 s
  {"fault":"reset","mid_body":true}                    reset the connection, before the reply or in its middle
  {"fault":"refuse"}                                   close the port and every connection
  {"fault":"garbage","kind":KIND}                      empty, html, truncated-json, wrong-types, wrong-shape, deep,
                                                       nan, huge, negative-prices, zero-prices, duplicates,
                                                       endless-pages, million-rows
  {"fault":"order-fault","responds":RESPONSE,"creates":"yes"}
                                                       a post of orders; RESPONSE is normal, failure, minus-one, short,
                                                       error, overload, cut-before, cut-during, cut-after or hang;
                                                       creates: yes, no or later; also "every":2 (orders affected),
                                                       "order_type":2, "later_seconds":1, "delay_seconds":0, "message"
  {"fault":"lost-status"}                              a submission that sends trades, keeps the status and fails

All except refuse accept "rate":0.3 (that share of the calls), "calls":5 (only the next five), "pause":3 (with calls:
then three calls pass, and so on), "route":"GET /api/v1/prices" (only that route).
"""

_encode = msgspec.json.Encoder(decimal_format="number").encode


class _PortfolioBody(Struct, frozen=True, forbid_unknown_fields=True):
    name: str | None = None
    cash: Decimal | None = None
    holdings: tuple[Holding, ...] = ()


class _SpreadBody(Struct, frozen=True, forbid_unknown_fields=True):
    spread: Decimal


class _PriceBody(Struct, frozen=True, forbid_unknown_fields=True):
    price: Decimal


class _Prices(Struct, frozen=True):
    spread: Decimal
    prices: dict[str, Decimal]


class _Case(Struct, frozen=True, rename="camel"):
    case: SpecialCase
    portfolio_id: str


class _ServiceFaults(Struct, frozen=True):
    service: Service
    faults: tuple[Fault, ...]


class _Error(Struct, frozen=True):
    error: str


def control_application(simulator: Simulator) -> web.Application:
    """Build the control API of a simulator."""
    control = _Control(simulator)
    application = web.Application()
    application.router.add_routes(
        [
            web.get("/control", _help),
            web.get("/control/urls", _handled(control.urls)),
            web.get("/control/cases", _handled(control.cases)),
            web.get("/control/portfolios/{id}", _handled(control.portfolio)),
            web.put("/control/portfolios/{id}", _handled(control.put_portfolio)),
            web.delete("/control/portfolios/{id}", _handled(control.restore_portfolio)),
            web.get("/control/prices", _handled(control.prices)),
            web.put("/control/prices", _handled(control.put_spread)),
            web.delete("/control/prices", _handled(control.restore_prices)),
            web.put("/control/prices/{ticker}", _handled(control.put_price)),
            web.delete("/control/prices/{ticker}", _handled(control.remove_price)),
            web.post("/control/settle", _handled(control.settle)),
            web.get("/control/orders", _handled(control.orders)),
            web.delete("/control/orders", _handled(control.forget_orders)),
            web.get("/control/calls", _handled(control.calls)),
            web.delete("/control/calls", _handled(control.forget_calls)),
            web.get("/control/faults", _handled(control.faults)),
            web.put("/control/faults/{service}", _handled(control.put_faults)),
            web.delete("/control/faults", _handled(control.heal)),
        ]
    )
    return application


class _Control:
    """The handlers; each returns the body of the response before it is encoded, None for an empty one."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def urls(self, _: web.Request) -> object:
        return self._simulator.urls

    async def cases(self, _: web.Request) -> object:
        return [_Case(case, self._simulator.world.case_id(case)) for case in SpecialCase]

    async def portfolio(self, request: web.Request) -> object:
        portfolio_id = request.match_info["id"]
        known = self._simulator.world.portfolio(portfolio_id)
        held = self._simulator.world.holdings(portfolio_id)
        return _PortfolioBody(None if known is None else known.name, held.cash, held.holdings)

    async def put_portfolio(self, request: web.Request) -> None:
        body = msgspec.json.decode(await request.read(), type=_PortfolioBody)
        holdings = Holdings(body.cash, body.holdings)
        self._simulator.world.put_holdings(request.match_info["id"], holdings, body.name)

    async def restore_portfolio(self, request: web.Request) -> None:
        self._simulator.world.restore(request.match_info["id"])

    async def prices(self, _: web.Request) -> object:
        return _Prices(self._simulator.prices.spread, self._simulator.prices.means())

    async def put_spread(self, request: web.Request) -> None:
        self._simulator.prices.put_spread(msgspec.json.decode(await request.read(), type=_SpreadBody).spread)

    async def restore_prices(self, _: web.Request) -> None:
        self._simulator.prices.reset()

    async def put_price(self, request: web.Request) -> None:
        body = msgspec.json.decode(await request.read(), type=_PriceBody)
        self._simulator.prices.put_price(request.match_info["ticker"], body.price)

    async def remove_price(self, request: web.Request) -> None:
        self._simulator.prices.remove_price(request.match_info["ticker"])

    async def settle(self, _: web.Request) -> object:
        return self._simulator.orders.settle(self._simulator.world, self._simulator.prices)

    async def orders(self, _: web.Request) -> object:
        return self._simulator.orders.orders

    async def forget_orders(self, _: web.Request) -> None:
        self._simulator.orders.clear()

    async def calls(self, _: web.Request) -> object:
        return self._simulator.calls.report()

    async def forget_calls(self, _: web.Request) -> None:
        self._simulator.calls.reset()

    async def faults(self, _: web.Request) -> object:
        return [_ServiceFaults(service, self._simulator.faults(service)) for service in Service]

    async def put_faults(self, request: web.Request) -> None:
        service = Service(request.match_info["service"])
        faults = msgspec.json.decode(await request.read(), type=tuple[Fault, ...])
        await self._simulator.inject(service, *faults)

    async def heal(self, _: web.Request) -> None:
        await self._simulator.heal()


def _handled(handler: Callable[[web.Request], Awaitable[object]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Encode what a handler returns; what it refuses with a ValueError, as every undecodable body is, becomes a 400."""

    async def respond(request: web.Request) -> web.Response:
        try:
            result = await handler(request)
        except ValueError as error:
            return web.Response(body=_encode(_Error(str(error))), status=HTTPStatus.BAD_REQUEST, content_type=JSON)
        if result is None:
            return web.Response(status=HTTPStatus.NO_CONTENT)
        return web.Response(body=_encode(result), content_type=JSON)

    return respond


async def _help(_: web.Request) -> web.Response:
    return web.Response(text=CONTROL_HELP)
