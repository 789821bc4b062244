"""How many pods carry a rate of rebalances: arithmetic on measured constants, by two laws of queueing theory.

The utilisation law: a part that spends D seconds of processor on each of X rebalances a second is busy for X D seconds
of every second, its utilisation on one core; shared evenly among n pods, each is busy for X D / n. Little's law: of X
rebalances a second that take R seconds each, X R are in flight. A rebalance that takes S seconds of processor where
nobody else is served takes S / (1 - U) where the processor is busy for U already: an open queue with processor
sharing. What it waits for elsewhere, such as its upstreams and the disk of the database, stays as it is.
"""

import math

from msgspec import Struct

BUSIEST = 0.7
"""The utilisation to plan for: above it a rebalance takes more than three times its own processor time."""


class Demand(Struct, frozen=True):
    """What one rebalance takes, in seconds.

    Attributes:
        api: processor time of the API process.
        solver: processor time of the solver processes.
        mongod: processor time of the database.
        elapsed: from request to respond where nothing else is under way.
    """

    api: float
    solver: float
    mongod: float
    elapsed: float

    @property
    def pod(self) -> float:
        """Processor time of a pod: all its processes share its core."""
        return self.api + self.solver

    @property
    def waiting(self) -> float:
        """What is left of the elapsed time: upstreams, the network, the disk."""
        return max(0.0, self.elapsed - self.pod - self.mongod)


class Plan(Struct, frozen=True):
    """What carries a rate of rebalances a second.

    Attributes:
        pods: of one core each.
        pod_utilisation: of the core of each pod.
        mongod_cores: cores that the database keeps busy.
        seconds: from request to respond; infinite where the database has too few cores.
        in_flight: rebalances under way at a time.
        saturates_first: `pods` or `mongod`, whichever has the smaller part of its capacity left.
    """

    pods: int
    pod_utilisation: float
    mongod_cores: float
    seconds: float
    in_flight: float
    saturates_first: str


def plan(demand: Demand, rate: float, database_cores: int) -> Plan:
    """Find the fewest pods that are busy for no more than `BUSIEST` at this rate.

    Args:
        demand: of one rebalance.
        rate: rebalances a second.
        database_cores: that mongod may use.
    """
    pods = max(1, math.ceil(rate * demand.pod / BUSIEST))
    pod_utilisation = rate * demand.pod / pods
    mongod_cores = rate * demand.mongod
    mongod_utilisation = mongod_cores / database_cores
    seconds = math.inf
    if mongod_utilisation < 1:
        busy = demand.pod / (1 - pod_utilisation) + demand.mongod / (1 - mongod_utilisation)
        seconds = demand.waiting + busy
    return Plan(
        pods=pods,
        pod_utilisation=pod_utilisation,
        mongod_cores=mongod_cores,
        seconds=seconds,
        in_flight=rate * seconds,
        saturates_first="mongod" if mongod_utilisation > pod_utilisation else "pods",
    )
