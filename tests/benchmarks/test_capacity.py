"""The arithmetic of capacity, against cases that can be done by hand."""

import math

import pytest

from benchmarks.capacity import BUSIEST, Demand, plan

DEMAND = Demand(api=0.006, solver=0.001, mongod=0.002, elapsed=0.030)


def test_pods_are_the_fewest_that_are_not_too_busy() -> None:
    """7 ms of processor for each of 100 a second keep 0.7 of a core busy: one pod at its limit, two just above it."""
    assert BUSIEST == 0.7
    assert plan(DEMAND, 99, database_cores=4).pods == 1
    assert plan(DEMAND, 101, database_cores=4).pods == 2
    assert plan(DEMAND, 1000, database_cores=4).pods == 10


def test_pods_share_the_work_evenly() -> None:
    """Utilisation is the demand divided by the number of pods."""
    assert plan(DEMAND, 50, database_cores=4).pod_utilisation == pytest.approx(0.35)
    assert plan(DEMAND, 150, database_cores=4).pod_utilisation == pytest.approx(0.525)


def test_few_rebalances_take_no_longer_than_measured() -> None:
    """At almost no load the predicted duration is the measured one."""
    seldom = plan(DEMAND, 0.001, database_cores=4)
    assert seldom.pods == 1
    assert seldom.seconds == pytest.approx(0.030, rel=1e-3)


def test_busy_processors_stretch_their_own_share_of_the_time_only() -> None:
    """At 50 a second the pod is busy for 0.35 and one core of mongod for 0.1; the other 21 ms of waiting stay."""
    busy = plan(DEMAND, 50, database_cores=1)
    assert busy.seconds == pytest.approx(0.021 + 0.007 / 0.65 + 0.002 / 0.9)


def test_in_flight_follows_littles_law() -> None:
    """Rebalances in flight are rate times duration."""
    busy = plan(DEMAND, 50, database_cores=1)
    assert busy.in_flight == pytest.approx(50 * busy.seconds)


@pytest.mark.parametrize(("cores", "first"), [(1, "mongod"), (2, "pods"), (4, "pods")])
def test_what_saturates_first_has_the_smaller_part_left(cores: int, first: str) -> None:
    """400 a second: pods are busy for two thirds, and mongod keeps 0.8 of a core busy."""
    assert plan(DEMAND, 400, cores).saturates_first == first


def test_a_database_with_too_few_cores_has_no_response_in_time() -> None:
    """An overloaded database makes the duration infinite instead of negative."""
    assert plan(DEMAND, 1000, database_cores=2).seconds == math.inf
    assert math.isfinite(plan(DEMAND, 1000, database_cores=3).seconds)
