"""A simulator of the five GlobeCo services: realistic data from a seed, and faults to order.

In a test, in the same event loop:

    async with running_simulator(SimulatorSettings(portfolios=100)) as simulator:
        url = simulator.urls.pricing

As a process of its own, `run(settings)`, which is what `order-generation simulator` does.
"""

from integrations.simulator.holdings import Holding, Holdings, SpecialCase
from integrations.simulator.server import Simulator, SimulatorUrls, run, running_simulator
from integrations.simulator.settings import Service, SimulatorSettings

__all__ = [
    "Holding",
    "Holdings",
    "Service",
    "Simulator",
    "SimulatorSettings",
    "SimulatorUrls",
    "SpecialCase",
    "run",
    "running_simulator",
]
