"""The demo, started as a user starts it."""

import os
import re
import signal
from pathlib import Path

import httpx
import pytest

from persistence.embedded import free_port
from tests.harness.api import PATIENCE_SECONDS
from tests.harness.commands import Command, running

STAYS_UP = "The service stays up"


@pytest.mark.parametrize("dialect", ["standard", pytest.param("globeco", marks=pytest.mark.slow)])
def test_once_shows_the_trades_of_three_portfolios_and_leaves_nothing_running(dialect: str) -> None:
    """The output has amounts, trades and orders in 80 columns, in each dialect."""
    with running("demo", "--once", "--orders", environment={"API_DIALECT": dialect, "COLUMNS": "80"}) as command:
        assert command.finish() == 0, command.output
        assert command.await_end_of_family() == []
    assert len(re.findall(r"market value [\d,.]+ +cash before [\d,.]+ +cash after [\d,.]+", command.output)) == 3
    assert len(re.findall(r"^ *BUY ", command.output, re.MULTILINE)) >= 10
    assert re.search(r"^ *SELL ", command.output, re.MULTILINE), "the portfolio that holds securities sells some"
    assert command.output.count("proven") == 3
    assert "The second call sent nothing." in command.output
    assert "…" not in command.output, "every number is whole in the usual 80 columns"


def test_what_it_prints_works_while_it_stays_up_and_fits_a_narrow_terminal() -> None:
    """It listens where PORT says, its links and its curl line work, and no trade is cut at 40 columns."""
    port = free_port()
    with running("demo", environment={"PORT": str(port), "COLUMNS": "40", "API_DIALECT": "globeco"}) as command:
        output = command.read_until(STAYS_UP)
        assert f"export SERVICE=http://127.0.0.1:{port}" in output
        for page in ("docs", "redoc", r"pages/model/\w+"):
            url = re.search(rf"http://127.0.0.1:{port}/{page}", output)
            assert url is not None
            assert httpx.get(url[0], timeout=PATIENCE_SECONDS).status_code == 200
        curl = re.search(r"curl -X POST (\S+)", output)
        assert curl is not None
        again = httpx.post(curl[1].replace("$SERVICE", f"http://127.0.0.1:{port}"), timeout=PATIENCE_SECONDS)
        assert again.status_code == 200
        assert len(again.json()) == 3
        assert len(re.findall(r"^(?:BUY|SELL) [\d,]+ \w+ at [\d,.]+$", output, re.MULTILINE)) >= 10
        _interrupt(command)
        assert command.finish() == 0
        assert command.await_end_of_family() == []
        assert "Stopped." in command.output


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGTERM, id="terminated"),
        pytest.param(signal.SIGHUP, id="terminal closed", marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, id="killed"),
    ],
)
def test_nothing_is_left_running_however_it_ends(number: signal.Signals) -> None:
    """No process of the demo survives its termination, its terminal or its kill."""
    with running("demo") as command:
        command.read_until(STAYS_UP)
        assert len(command.family()) >= 6, "mongod and its keeper, simulator, server, worker, solvers"
        command.process.send_signal(number)
        command.finish()
        assert command.await_end_of_family() == []


def test_an_interrupt_while_starting_leaves_nothing_running() -> None:
    """Ctrl-C before the service has started also ends MongoDB."""
    with running("demo") as command:
        command.read_until("Starting MongoDB")
        _interrupt(command)
        command.finish()
        assert command.await_end_of_family() == []


def test_without_a_mongod_it_says_what_is_missing(tmp_path: Path) -> None:
    """The exit code is 2, with a message instead of a traceback."""
    environment = {"EMBEDDED_MONGOD": str(tmp_path / "missing")}
    with running("demo", "--once", "--orders", environment=environment) as command:
        assert command.finish() == 2
    assert "does not run on this machine" in command.output
    assert "Traceback" not in command.output


def _interrupt(command: Command) -> None:
    """Interrupt the whole foreground process group, as Ctrl-C at a terminal does."""
    os.killpg(command.process.pid, signal.SIGINT)
