"""Makes the examples of the API document out of real answers: `python -m tests.app.make_examples`.

To be run after an answer has got another shape; a test says when.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from app.api.openapi import EXAMPLES
from app.dialect import Dialect
from app.stack import running_service_process, running_simulator_process
from integrations.simulator import ErrorStatus, Service
from persistence.embedded import EmbeddedMongod
from tests.app.api import Answer, Api, json_bytes
from tests.app.examples import content, model, path, position
from tests.app.neighbours import SPREAD, Neighbours


class Recorder:
    """Calls the service and keeps what was sent and answered, by operation."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.examples: dict[str, Any] = {}

    def call(self, operation: str, method: str, route: str, body: Any = None) -> Any:
        """Call an operation below `/api/v1`; give the body of the answer."""
        return self._keep(operation, body, self._api.call(method, route, body))

    def probe(self, operation: str, route: str) -> None:
        """Call a probe."""
        self._keep(operation, None, self._api.raw("GET", route))

    def _keep(self, operation: str, body: Any, answer: Answer) -> Any:
        example = self.examples.setdefault(operation, {"answers": {}})
        if body is not None and answer.status < 300:
            example["request"] = body
        if not answer.text:
            return None
        example["answers"][str(answer.status)] = answer.exact
        return answer.exact


def record(api: Api, neighbours: Neighbours) -> dict[str, Any]:
    """One or two answers of every operation, of each kind that says something new."""
    recorder = Recorder(api)
    call = recorder.call
    first, second, third = neighbours.securities(3)
    fund = neighbours.portfolio("250000.00", {second: "100", third: "12.5"}, name="Pension fund")
    small = neighbours.portfolio("50.00", name="Small account")
    wanted = [
        position(first, target=0.6, high=0.02, low=0.02) | {"target": 0.6, "highDrift": 0.02, "lowDrift": 0.02},
        position(second) | {"target": 0.35, "highDrift": 0.02, "lowDrift": 0.02},
    ]
    made = call("createModel", "POST", "/models", model(name="Growth", positions=wanted, portfolios=[fund, small]))
    call("createModel", "POST", "/models", model(name="Growth"))
    call("createModel", "POST", "/models", model(name="Growth", positions=[wanted[0] | {"target": 0.951}]))
    call("listModels", "GET", "/models?limit=10&sort_by=name")
    call("listModels", "GET", "/models?limit=-1")
    call("getModel", "GET", path(made))
    call("getModel", "GET", f"/model/{'0' * 24}")

    answers = call("rebalanceModel", "POST", path(made, "/rebalance"))
    rebalance = f"/rebalance/{answers[0]['rebalanceId']}"
    call("rebalancePortfolio", "POST", f"/portfolio/{fund}/rebalance")
    call("rebalancePortfolio", "POST", f"/portfolio/{small}/rebalance")
    call("rebalancePortfolio", "POST", f"/portfolio/{'0' * 24}/rebalance")
    other = call("createModel", "POST", "/models", model(name="Income", portfolios=[fund]))
    recorder.examples["createModel"]["request"] = {k: made[k] for k in ("name", "positions", "portfolios")}
    recorder.examples["createModel"]["answers"]["201"] = made
    call("rebalancePortfolio", "POST", f"/portfolio/{fund}/rebalance")
    call("removePortfolios", "DELETE", path(other, "/portfolio"), {"portfolios": [fund]})
    call("addPortfolios", "POST", path(other, "/portfolio"), {"portfolios": [small]})
    call("rebalanceModel", "POST", path(other, "/rebalance"))
    recorder.examples["rebalanceModel"]["answers"]["200"] = answers
    neighbours.inject(Service.PRICING, ErrorStatus(status=500))
    call("rebalanceModel", "POST", path(made, "/rebalance"))
    neighbours.restore()

    call("listRebalances", "GET", "/rebalances?limit=1&offset=3&view=full")
    call("findRebalancesOfPortfolios", "POST", "/rebalances/portfolios?limit=1", {"portfolios": [small]})
    call("getRebalance", "GET", rebalance)
    call("getRebalance", "GET", f"/rebalance/{'0' * 24}")
    call("getRebalancePortfolios", "GET", f"{rebalance}/portfolios")
    call("getRebalancePositions", "GET", f"{rebalance}/portfolio/{fund}/positions")
    call("getRebalancePositions", "GET", f"{rebalance}/portfolio/{'0' * 24}/positions")
    call("deleteRebalance", "DELETE", f"{rebalance}?version=2")
    call("deleteRebalance", "DELETE", f"{rebalance}?version=1")

    added = position(third) | {"target": 0.1, "highDrift": 0.01, "lowDrift": 0.01}
    call("addPosition", "POST", path(other, "/position"), added)
    call("addPosition", "POST", path(other, "/position"), added)
    call("replacePosition", "PUT", path(other, "/position"), added | {"target": 0.15})
    call("replacePosition", "PUT", path(other, "/position"), wanted[0])
    call("removePosition", "DELETE", path(other, "/position"), added)
    call("removePosition", "DELETE", path(other, "/position"), added | {"target": 0.15})
    now = call("getModel", "GET", path(made))
    call("replaceModel", "PUT", path(made), content(now, name="Growth and income"))
    call("replaceModel", "PUT", path(made), content(now))
    call("getModelHistory", "GET", path(made, "/history?limit=2"))
    call("deleteModel", "DELETE", path(made, "?version=1"))
    recorder.probe("getLiveness", "/health/live")
    recorder.probe("getReadiness", "/health/ready")
    return recorder.examples


def main() -> None:
    with ExitStack() as parts:
        log = Path(parts.enter_context(tempfile.TemporaryDirectory())) / "log"
        urls = parts.enter_context(running_simulator_process("--price-spread", SPREAD))
        environment = {
            "MONGODB_URL": parts.enter_context(EmbeddedMongod.start()).url,
            **{
                f"{name.upper()}_SERVICE_URL": getattr(urls, name)
                for name in urls.__struct_fields__
                if name != "control"
            },
            "EXTERNAL_SERVICE_RETRIES": "0",
            "SOLVER_PROCESSES": "1",
            "PRICE_CACHE_TTL_SECONDS": "0",
        }
        url, _ = parts.enter_context(running_service_process(environment, log))
        examples = record(parts.enter_context(Api(url, Dialect.STANDARD)), Neighbours(urls))
    EXAMPLES.write_bytes(msgspec.json.format(json_bytes(examples), indent=1) + b"\n")


if __name__ == "__main__":
    main()
