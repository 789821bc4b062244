"""A simulator of the five GlobeCo services: realistic data from a seed, and faults to order.

In a test, in the same event loop:

    async with running_simulator(SimulatorSettings(portfolios=100)) as simulator:
        url = simulator.urls.pricing
        portfolio_id = simulator.world.case_id(SpecialCase.SHORT)
        simulator.world.put_holdings(portfolio_id, Holdings(cash=Decimal(1000)))
        simulator.prices.put_spread(Decimal(0))
        await simulator.inject(Service.PRICING, ErrorStatus(status=503, calls=2))
        assert simulator.calls.count(Service.PRICING) == 0

As a process of its own, `run(settings)`, which is what `order-generation simulator` does; `CONTROL_HELP` says what can
then be changed over HTTP.
"""

from integrations.simulator.calls import Call, CallReport
from integrations.simulator.control import CONTROL_HELP
from integrations.simulator.faults.kinds import (
    Creation,
    Delay,
    ErrorStatus,
    Fault,
    Garbage,
    GarbageKind,
    Hang,
    HangMidBody,
    LostStatus,
    OrderFault,
    OrderResponse,
    Refuse,
    Repeat,
    Reset,
    SlowBody,
)
from integrations.simulator.holdings import Holding, Holdings, SpecialCase
from integrations.simulator.server import run, running_simulator
from integrations.simulator.settings import Service, SimulatorSettings, SimulatorUrls
from integrations.simulator.simulator import Simulator
from integrations.simulator.world import World

__all__ = [
    "CONTROL_HELP",
    "Call",
    "CallReport",
    "Creation",
    "Delay",
    "ErrorStatus",
    "Fault",
    "Garbage",
    "GarbageKind",
    "Hang",
    "HangMidBody",
    "Holding",
    "Holdings",
    "LostStatus",
    "OrderFault",
    "OrderResponse",
    "Refuse",
    "Repeat",
    "Reset",
    "Service",
    "Simulator",
    "SimulatorSettings",
    "SimulatorUrls",
    "SlowBody",
    "SpecialCase",
    "World",
    "run",
    "running_simulator",
]
