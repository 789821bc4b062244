"""The stack that chaos tests share, and a caller whose every call is judged when the test is over."""

from collections.abc import AsyncIterator, Iterator
from typing import override

import httpx
import pytest

from tests.chaos.judge.caller import Caller
from tests.chaos.judge.market import Market
from tests.harness.simulator import SimulatorControl
from tests.harness.stack import PATIENT, RunningService, Surroundings, serving, surroundings

PATIENCE_SECONDS = 60


class Transport(httpx.AsyncHTTPTransport):
    """Tells of a connection that broke the moment it was made: anyio finds no socket to ask for its peer."""

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except AttributeError as error:
            raise httpx.ConnectError("broken off at once") from error


@pytest.fixture(scope="package")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    """mongod and the simulator; nothing of them, or of any service on them, may outlive the tests."""
    with surroundings(tmp_path_factory.mktemp("chaos")) as running:
        yield running


@pytest.fixture(scope="package")
def impatient(around: Surroundings) -> Iterator[RunningService]:
    """An impatient service without retries, on which a fault takes its course within a second."""
    with serving(around) as running:
        yield running


@pytest.fixture(scope="package")
def patient(around: Surroundings) -> Iterator[RunningService]:
    """A service with retries and caches."""
    with serving(around, PATIENT) as running:
        yield running


@pytest.fixture(scope="package")
def market() -> Market:
    """What is true while nothing is broken."""
    return Market()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """HTTP for the tests' own calls."""
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS, transport=Transport()) as opened:
        yield opened


@pytest.fixture
async def control(around: Surroundings, client: httpx.AsyncClient, market: Market) -> AsyncIterator[SimulatorControl]:
    """The simulator's controls; whatever a test broke is healed, and what it changed of the market put back."""
    control = SimulatorControl(around.simulator.control, client)
    yield control
    await control.heal()
    await market.restore(control)


@pytest.fixture
async def caller(
    impatient: RunningService, client: httpx.AsyncClient, control: SimulatorControl, market: Market
) -> AsyncIterator[Caller]:
    """A caller of the impatient service."""
    caller = Caller(impatient.url, client, market)
    yield caller
    await control.heal()
    await caller.settle()


@pytest.fixture
async def patient_caller(
    patient: RunningService, client: httpx.AsyncClient, control: SimulatorControl, market: Market
) -> AsyncIterator[Caller]:
    """A caller of the service with retries and caches."""
    caller = Caller(patient.url, client, market)
    yield caller
    await control.heal()
    await caller.settle()
