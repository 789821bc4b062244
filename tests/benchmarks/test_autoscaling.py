"""The simulation of autoscaling agrees with what can be computed by hand, and shows that the deployed triggers work."""

from itertools import pairwise

import pytest

from app.settings import Settings
from benchmarks import autoscaling
from benchmarks.autoscaling import highest, in_flight, old_metric, processor, simulate, stations
from tests.deployment.manifests import build, find, of_kind, service_container, settings_of

MINUTES_BEFORE, MINUTES_BUSY = 5, 15


def test_one_portfolio_is_in_one_place_at_a_time() -> None:
    """Without anything to wait for, its rate is the inverse of the time of both stations."""
    alone = stations(1)
    assert alone.rate == pytest.approx(1 / (autoscaling.API_SECONDS + autoscaling.SOLVER_SECONDS))
    assert alone.waiting == 0


def test_the_slower_station_limits_the_rate() -> None:
    """With four solver processes it is the API process, and hardly a portfolio waits for the solver."""
    for requests in (1, 5, 50):
        assert stations(16 * requests).rate == pytest.approx(1 / autoscaling.API_SECONDS, rel=0.001)
        assert stations(16 * requests).waiting < 0.1


def test_the_deployed_triggers_carry_a_load_that_rises_and_return_afterwards() -> None:
    """Thresholds and bounds are those of the manifest; no request fails, and the replicas do not oscillate."""
    manifests = build("keda")
    (scaled_object,) = of_kind(manifests, "ScaledObject")
    spec = scaled_object["spec"]
    prometheus, cpu = (trigger["metadata"] for trigger in spec["triggers"])
    assert "order_generation_portfolios_in_flight" in prometheus["query"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (autoscaling.MINIMUM, autoscaling.MAXIMUM)
    assert spec["pollingInterval"] == autoscaling.INTERVAL_SECONDS
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == autoscaling.SCALE_DOWN_SECONDS
    assert int(settings_of(manifests)["SOLVER_PROCESSES"]) == autoscaling.SOLVERS
    assert int(service_container(manifests)["resources"]["requests"]["cpu"]) == autoscaling.REQUESTED_CORES
    assert Settings().rebalance_concurrency == autoscaling.IN_FLIGHT
    assert find(manifests, "Deployment")["spec"].get("replicas") is None

    run = simulate(highest(in_flight(float(prometheus["threshold"])), processor(float(cpu["value"]))))
    assert run.failed == 0
    assert set(run.replicas[: MINUTES_BEFORE - 1]) == {autoscaling.MINIMUM}
    assert min(run.replicas[MINUTES_BEFORE + 1 : MINUTES_BEFORE + MINUTES_BUSY - 1]) >= 4
    assert run.replicas[-1] == autoscaling.MINIMUM
    fallen = [before for before, after in pairwise(run.replicas) if after < before]
    grown = [after for before, after in pairwise(run.replicas) if after > before]
    assert len(grown) <= 3
    assert len(fallen) <= 5


def test_the_waiting_portfolios_never_call_for_a_replica() -> None:
    """The metric of the earlier manifest, under the same load: most requests reach their deadline."""
    run = simulate(old_metric)
    assert set(run.replicas) == {autoscaling.MINIMUM}
    assert run.failed > len(run.seconds) / 2


def test_the_simulation_is_deterministic() -> None:
    """The same seed has the same result, another seed another."""
    profile = ((60, 2.0), (60, 6.0))
    first, again, other = (simulate(in_flight(12), profile, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.seconds != other.seconds
