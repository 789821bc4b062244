"""Writes the examples of the API document from real responses: `python -m tests.app.make_examples`.

Run it after the shape of a response has changed; a test fails until then.
"""

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import asdict

from app.commands.stack import running_service_process, running_simulator_process
from app.http.dialect import Dialect
from app.operations.openapi.document import EXAMPLES
from integrations.simulator import ErrorStatus, Hang, Service
from persistence.embedded import EmbeddedMongod
from tests.harness.api import Api, ApiResponse, json_bytes
from tests.harness.bodies import content, model, path, position
from tests.harness.upstreams import SPREAD, Upstreams

OPTIMIZATION = {
    "positions": [
        {"securityId": "VTI", "target": 0.6, "highDrift": 0.05, "lowDrift": 0.05},
        {"securityId": "BND", "target": 0.35, "highDrift": 0.05, "lowDrift": 0.05},
    ],
    "prices": [{"securityId": "VTI", "price": 291.35}, {"securityId": "BND", "price": 72.18}],
    "portfolios": [
        {"portfolioId": "retirement", "cash": 5000, "holdings": [{"securityId": "VTI", "quantity": 40}]},
    ],
    "rules": {"direction": "BUY_ONLY", "bands": "PREFERRED", "minimumTradeValue": 100},
}
"""A contribution of 5,000 that is only to be bought with."""


class Recorder:
    """Calls the service; keeps the first success of each operation and the first error of each code."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.operations: dict[str, Any] = {}
        self.errors: dict[str, Any] = {}

    def call(self, operation: str, method: str, route: str, body: Any = None, **headers: str) -> Any:
        """Call an operation below `/api/v1`; give the body of the response."""
        return self.keep(operation, self._api.call(method, route, body, headers=headers), body)

    def keep(self, operation: str, response: ApiResponse, body: Any = None) -> Any:
        """Keep a response; give its body."""
        if not response.text:
            return None
        if response.status >= 400:
            self.errors.setdefault(response.code, response.exact)
        elif operation not in self.operations:
            request = {} if body is None else {"request": body}
            self.operations[operation] = {**request, "status": str(response.status), "response": response.exact}
        return response.exact


def record(api: Api, upstreams: Upstreams) -> Recorder:
    """A response of every operation and of nearly every code."""
    recorder = Recorder(api)
    call = recorder.call
    first, second, third = upstreams.securities(3)
    unpriced = upstreams.world.unpriced_security_ids()[0]
    fund = upstreams.portfolio("250000.00", {second: "100", third: "12.5"}, name="Pension fund")
    small = upstreams.portfolio("50.00", name="Small account")
    drifts = {"highDrift": 0.02, "lowDrift": 0.02}
    wanted = [position(first) | {"target": 0.6, **drifts}, position(second) | {"target": 0.35, **drifts}]
    nobody = "0" * 24

    made = call("createModel", "POST", "/models", model(name="Growth", positions=wanted, portfolios=[fund, small]))
    call("createModel", "POST", "/models", model(name="Growth"))
    call("createModel", "POST", "/models", model(name="Growth", positions=[wanted[0] | {"target": 0.951}]))
    call("createModel", "POST", "/models", b" " * 1_100_000)
    recorder.keep("createModel", api.raw("POST", "/api/v1/models", content=b"{}"))
    call("listModels", "GET", "/models?limit=10&sort_by=name")
    call("getModel", "GET", path(made))
    call("getModel", "GET", f"/model/{nobody}")

    rules = {"rules": {"direction": "BUY_ONLY", "bands": "PREFERRED", "minimumCash": 1000}}
    rebalanced = call("rebalanceModel", "POST", path(made, "/rebalance"), rules)
    rebalance = f"/rebalance/{rebalanced[0]['rebalanceId']}"
    single = call("rebalancePortfolio", "POST", f"/portfolio/{fund}/rebalance", {"preview": False})
    call("rebalancePortfolio", "POST", f"/portfolio/{small}/rebalance")
    call("optimizePortfolios", "POST", "/optimizations", OPTIMIZATION)
    call("rebalancePortfolio", "POST", f"/portfolio/{nobody}/rebalance")
    other = call("createModel", "POST", "/models", model(name="Income", portfolios=[fund]))
    call("rebalancePortfolio", "POST", f"/portfolio/{fund}/rebalance")
    call("removePortfolios", "DELETE", path(other, "/portfolio"), {"portfolios": [fund]})
    call("addPortfolios", "POST", path(other, "/portfolio"), {"portfolios": [small]})
    for name, wrong in (("No price", unpriced), ("No such security", nobody)):
        call("createModel", "POST", "/models", bad := model(name=name, positions=[position(wrong)], portfolios=[fund]))
        found = api.get("/models", sort_by="-model_id", limit=1).body[0]
        assert found["name"] == bad["name"]
        call("rebalanceModel", "POST", path(found, "/rebalance"))

    call("listRebalances", "GET", "/rebalances?limit=1&offset=4")
    call("findRebalancesOfPortfolios", "POST", "/rebalances/portfolios?limit=1", {"portfolios": [small]})
    call("getRebalance", "GET", rebalance)
    call("getRebalance", "GET", f"/rebalance/{nobody}")
    call("getRebalancePortfolios", "GET", f"{rebalance}/portfolios")
    call("getRebalancePositions", "GET", f"{rebalance}/portfolio/{fund}/positions")
    call("getRebalanceProof", "GET", f"{rebalance}/portfolio/{fund}/proof")
    call("getRebalanceTrades", "GET", f"{rebalance}/trades")
    send_orders(recorder, api, rebalance, single["rebalanceId"], fund)
    call("deleteRebalance", "DELETE", f"{rebalance}?version=1")
    call("deleteRebalance", "DELETE", f"/rebalance/{single['rebalanceId']}?version=1")

    added = position(third) | {"target": 0.1, "highDrift": 0.01, "lowDrift": 0.01}
    call("addPosition", "POST", path(other, "/position"), added)
    call("addPosition", "POST", path(other, "/position"), added)
    call("replacePosition", "PUT", path(other, "/position"), added | {"target": 0.15})
    call("replacePosition", "PUT", path(other, "/position"), wanted[0])
    call("removePosition", "DELETE", path(other, "/position"), added)
    call("removePosition", "DELETE", path(other, "/position"), added | {"target": 0.15})
    now = api.get(path(made)).exact
    call("replaceModel", "PUT", path(made), content(now, name="Growth and income"))
    call("replaceModel", "PUT", path(made), content(now))
    call("getModelHistory", "GET", path(made, "/history?limit=2"))
    recorder.keep("getVersion", api.raw("GET", "/version"))
    recorder.keep("getLiveness", api.raw("GET", "/health/live"))
    recorder.keep("getReadiness", api.raw("GET", "/health/ready"))

    key = {"Idempotency-Key": "5f0f6a46-3c3e-4b8e-9a44-0d9a0c1d2e3f"}
    upstreams.inject(Service.PORTFOLIO_ACCOUNTING, Hang())
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(api.call, "POST", path(made, "/rebalance"), headers=key)
        time.sleep(0.5)
        call("rebalanceModel", "POST", path(made, "/rebalance"), **key)
        recorder.keep("rebalanceModel", slow.result())
    call("rebalanceModel", "POST", path(other, "/rebalance"), **key)
    upstreams.inject(Service.PRICING, ErrorStatus(status=500))
    call("rebalanceModel", "POST", path(made, "/rebalance"))
    return recorder


def send_orders(recorder: Recorder, api: Api, rebalance: str, other: str, portfolio: str) -> None:
    """Send the orders of a portfolio, and record the responses when every order has an outcome."""
    route, body = f"{rebalance}/orders", {"portfolios": [portfolio], "submit": False}
    recorder.call("getOrders", "GET", route)
    recorder.call("sendOrders", "POST", route, body, **{"Sec-Fetch-Site": "cross-site", "Origin": "http://elsewhere"})
    while api.call("POST", route, body).status == 202:
        time.sleep(0.1)
    recorder.call("sendOrders", "POST", route, body)
    recorder.call("getOrders", "GET", route)
    recorder.call("sendOrders", "POST", f"/rebalance/{other}/orders", body)


def main() -> None:
    """Run the service, call it, and write the file."""
    with ExitStack() as parts:
        log = Path(parts.enter_context(tempfile.TemporaryDirectory())) / "log"
        urls = parts.enter_context(running_simulator_process("--price-spread", SPREAD))
        database = EmbeddedMongod.start()
        environment = {
            "MONGODB_URL": database.__enter__().url,
            **{f"{name.upper()}_SERVICE_URL": url for name, url in asdict(urls).items() if name != "control"},
            "EXTERNAL_SERVICE_RETRIES": "0",
            "ORDERS_ENABLED": "true",
            "SOLVER_PROCESSES": "1",
            "PRICE_CACHE_TTL_SECONDS": "0",
            "REBALANCE_DEADLINE_SECONDS": "3",
        }
        url, _ = parts.enter_context(running_service_process(environment, log))
        api = parts.enter_context(Api(url, Dialect.STANDARD))
        recorder = record(api, Upstreams(urls))
        database.__exit__(None, None, None)
        recorder.call("listModels", "GET", "/models")
    # What is not caused here keeps its example.
    errors = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode(EXAMPLES.read_bytes())["errors"]
    errors |= recorder.errors
    examples = {"operations": recorder.operations, "errors": dict(sorted(errors.items()))}
    EXAMPLES.write_bytes(msgspec.json.format(json_bytes(examples), indent=1) + b"\n")


if __name__ == "__main__":
    main()
