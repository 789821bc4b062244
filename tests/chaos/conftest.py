"""The stack that chaos tests share, and a caller whose every call is judged when the test is over."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.chaos.judge.caller import Caller
from tests.chaos.judge.market import Market
from tests.chaos.rig.simulator import SimulatorControl
from tests.chaos.rig.stack import RunningService, Surroundings, serving, surroundings

PATIENCE_SECONDS = 60


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
def market() -> Market:
    """What is true while nothing is broken."""
    return Market()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """HTTP for the tests' own calls."""
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as opened:
        yield opened


@pytest.fixture
async def control(around: Surroundings, client: httpx.AsyncClient) -> AsyncIterator[SimulatorControl]:
    """The simulator's controls; whatever a test broke is healed."""
    control = SimulatorControl(around.simulator.control, client)
    yield control
    await control.heal()


@pytest.fixture
async def caller(
    impatient: RunningService, client: httpx.AsyncClient, control: SimulatorControl, market: Market
) -> AsyncIterator[Caller]:
    """A caller of the impatient service."""
    caller = Caller(impatient.url, client, market)
    yield caller
    await control.heal()
    await caller.settle()
