"""A frozen Portfolio Service costs names, and no time."""

import statistics
import time

import pytest

from integrations.simulator import Hang, Service
from tests.harness.api import Api
from tests.harness.bodies import created, path, position
from tests.harness.upstreams import Upstreams

ROUNDS = 40


def seconds_of(api: Api, model_path: str) -> float:
    started = time.perf_counter()
    (portfolio,) = api.post(model_path).expect(200).body
    assert portfolio["status"] == "COMPLETED"
    return time.perf_counter() - started


def paths(api: Api, upstreams: Upstreams, count: int) -> list[str]:
    """Rebalance paths of as many new models of one new portfolio each."""
    positions = [position(upstreams.securities(1)[0])]
    portfolios = [upstreams.portfolio() for _ in range(count)]
    return [path(created(api, positions=positions, portfolios=[each]), "/rebalance") for each in portfolios]


def test_a_frozen_service_is_waited_for_once(standard: Api, upstreams: Upstreams) -> None:
    """After the first rebalance, uncached names delay no rebalance by their budget."""
    # Several, for a busy machine delays some.
    first, *others = paths(standard, upstreams, 10)
    upstreams.inject(Service.PORTFOLIO, Hang())
    seconds_of(standard, first)
    assert min(seconds_of(standard, other) for other in others) < 0.2


@pytest.mark.slow
def test_with_a_frozen_service_the_median_rebalance_takes_as_long_as_with_cached_names(
    standard: Api, upstreams: Upstreams
) -> None:
    """Within 1.1 times, after the first rebalance; each round has a portfolio whose name nobody has loaded."""
    cached = paths(standard, upstreams, 1)[0]
    uncached = paths(standard, upstreams, ROUNDS + 1)
    seconds_of(standard, cached)
    with_cached_names = [seconds_of(standard, cached) for _ in range(ROUNDS)]
    upstreams.inject(Service.PORTFOLIO, Hang())
    seconds_of(standard, uncached.pop())
    # Both in turns from here on, so that another load of the machine affects both.
    frozen = []
    for each in uncached:
        with_cached_names.append(seconds_of(standard, cached))
        frozen.append(seconds_of(standard, each))
    ratio = statistics.median(frozen) / statistics.median(with_cached_names)
    print(f"median rebalance with a frozen Portfolio Service: {ratio:.3f} times that with cached names")
    assert ratio < 1.1
