"""Clients that are generated from the API document are complete, pass type checkers, and work against the service."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.api import Api
from tests.harness.upstreams import Upstreams

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PYTHON_CALLER = '''
"""Creates a model, rebalances it by rules, reads everything back and deletes it."""

import sys

from order_client.api.models import create_model, delete_model, get_model_history, list_models
from order_client.api.optimisation import optimize_portfolios
from order_client.api.rebalancing import (
    delete_rebalance,
    get_rebalance,
    get_rebalance_proof,
    get_rebalance_trades,
    rebalance_model,
)
from order_client.client import Client
from order_client.models import (
    Bands,
    DeletedRebalanceDTO,
    ErrorCode,
    ErrorEnvelope,
    ModelDTO,
    ModelPositionRequest,
    ModelPostDTO,
    OptimizationHolding,
    OptimizationPortfolio,
    OptimizationPosition,
    OptimizationPrice,
    OptimizationRequest,
    PortfolioProofDTO,
    RebalanceRequest,
    RebalanceResultDTO,
    RulesRequest,
)

url, security_id, portfolio_id = sys.argv[1:]
client = Client(base_url=url)
position = ModelPositionRequest(security_id=security_id, target=0.5, high_drift=0.1, low_drift="0.1")
model = create_model.sync(
    client=client, body=ModelPostDTO(name=f"Generated {portfolio_id}", positions=[position], portfolios=[portfolio_id])
)
assert isinstance(model, ModelDTO), model
again = create_model.sync(client=client, body=ModelPostDTO(name=model.name, positions=[], portfolios=[]))
assert isinstance(again, ErrorEnvelope), again
assert again.error.code == ErrorCode.DUPLICATE_NAME
listed = list_models.sync(client=client, limit=1)
assert isinstance(listed, list), listed
rules = RulesRequest(bands=Bands.PREFERRED, minimum_cash=1000)
results = rebalance_model.sync(model.model_id, client=client, body=RebalanceRequest(rules=rules))
assert isinstance(results, list), results
[result] = results
assert result.error is None, result
assert result.rebalance_id is not None
stored = get_rebalance.sync(result.rebalance_id, client=client)
assert isinstance(stored, RebalanceResultDTO), stored
trades = get_rebalance_trades.sync(result.rebalance_id, client=client)
assert isinstance(trades, list), trades
assert [trade.quantity for trade in trades] == [each.quantity for each in result.transactions]
proof = get_rebalance_proof.sync(result.rebalance_id, portfolio_id, client=client)
assert isinstance(proof, PortfolioProofDTO), proof
assert proof.gap == 0
deleted = delete_rebalance.sync(result.rebalance_id, client=client, version=1)
assert isinstance(deleted, DeletedRebalanceDTO), deleted
assert deleted.deleted is True
assert isinstance(get_model_history.sync(model.model_id, client=client), list)
assert delete_model.sync_detailed(model.model_id, client=client, version=1).status_code == 204
optimised = optimize_portfolios.sync(
    client=client,
    body=OptimizationRequest(
        positions=[OptimizationPosition(security_id="A", target=0.5, high_drift=1, low_drift=1)],
        prices=[OptimizationPrice(security_id="A", price=10)],
        portfolios=[
            OptimizationPortfolio(
                portfolio_id="p", cash=1000, holdings=[OptimizationHolding(security_id="A", quantity=1)]
            )
        ],
    ),
)
assert isinstance(optimised, list), optimised
assert optimised[0].proof.path is not None
print("used")
'''

TYPESCRIPT_CALLER = """
import type { components, paths } from "./api";

type Result = components["schemas"]["RebalanceDTO"];
type Listed = paths["/api/v1/models"]["get"]["responses"][200]["content"]["application/json"];
type Deleted =
  paths["/api/v1/rebalance/{rebalanceId}"]["delete"]["responses"][200]["content"]["application/json"];

export function quantity(result: Result): number {
  const status: "COMPLETED" | "FAILED" = result.status;
  const error: string | undefined = result.error?.code;
  return status === "FAILED" || error ? 0 : result.transactions.reduce((sum, each) => sum + each.quantity, 0);
}
export const names = (models: Listed): string[] => models.map((model) => model.name);
export const deleted = (response: Deleted): true => response.deleted;
// @ts-expect-error a status is one of two words
export const wrong: Result["status"] = "MAYBE";
"""


def _run(*command: str, directory: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=directory, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_python_client_is_complete_passes_mypy_and_works(standard: Api, upstreams: Upstreams, tmp_path: Path) -> None:
    """Every operation and schema is generated, without a warning."""
    tools = Path(sys.executable).parent
    (tmp_path / "openapi.json").write_text(standard.raw("GET", "/docs/openapi.json").text)
    (tmp_path / "configuration.yml").write_text("post_hooks: []\n")
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = true\n")
    (tmp_path / "caller.py").write_text(PYTHON_CALLER)
    said = _run(
        *(str(tools / "openapi-python-client"), "generate", "--path", "openapi.json", "--meta", "none"),
        *("--config", "configuration.yml", "--output-path", "order_client", "--fail-on-warning"),
        directory=tmp_path,
    )
    assert "arning" not in said, said
    checked = _run(
        *(sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", "cache", "order_client"),
        "caller.py",
        directory=tmp_path,
    )
    assert "no issues found" in checked
    [security_id] = upstreams.securities(1)
    fund = upstreams.portfolio("100000")
    used = _run(sys.executable, "caller.py", standard.url, security_id, fund, directory=tmp_path, PYTHONPATH=".")
    assert used == "used\n"


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_a_typescript_client_passes_the_compiler(standard: Api, tmp_path: Path) -> None:
    """Its types are as narrow as the document: choices, nullable fields, constants."""
    (tmp_path / "openapi.json").write_text(standard.raw("GET", "/docs/openapi.json").text)
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "caller.ts").write_text(TYPESCRIPT_CALLER)
    _run("npm", "install", "--no-audit", "--no-fund", "openapi-typescript@7", "typescript@5", directory=tmp_path)
    programs = tmp_path / "node_modules" / ".bin"
    _run(str(programs / "openapi-typescript"), "openapi.json", "--output", "api.d.ts", directory=tmp_path)
    _run(str(programs / "tsc"), "--noEmit", "--strict", "caller.ts", "api.d.ts", directory=tmp_path)
