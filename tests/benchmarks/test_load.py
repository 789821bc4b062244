"""The load users for some seconds each: nothing fails that should not, and what is reported of them is right."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner
from pymongo import MongoClient

from app.commands.stack import running_service_process, running_simulator_process
from app.http.dialect import Dialect
from benchmarks.load.__main__ import main
from benchmarks.load.calls import Call
from benchmarks.load.market import Market, Upstreams, read_market
from benchmarks.load.plan import WARM_UP_SECONDS, Profile, Step
from benchmarks.load.plot import draw_ramp
from benchmarks.load.runs import Run, RunFailed, Target, run_locust
from benchmarks.load.search import search
from benchmarks.load.service_level import Judged, judge
from integrations.simulator import SimulatorUrls

RATE = 1.5
"""Low enough for a machine that does other things too."""
SECONDS = 2


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorUrls]:
    with running_simulator_process() as urls:
        yield urls


@pytest.fixture(scope="module")
def upstreams(simulator: SimulatorUrls) -> Upstreams:
    return Upstreams(simulator.security, simulator.pricing, simulator.portfolio)


@pytest.fixture(scope="module", params=[Dialect.STANDARD, pytest.param(Dialect.GLOBECO, marks=pytest.mark.slow)])
def target(
    request: pytest.FixtureRequest,
    simulator: SimulatorUrls,
    upstreams: Upstreams,
    mongodb_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Target]:
    """A service of each dialect."""
    name = f"test_load_{uuid4().hex}"
    environment = {
        "MONGODB_URL": mongodb_url,
        "DATABASE_NAME": name,
        "API_DIALECT": request.param,
        "SOLVER_PROCESSES": "1",
        "PORTFOLIO_ACCOUNTING_SERVICE_URL": simulator.portfolio_accounting,
        "PRICING_SERVICE_URL": simulator.pricing,
        "PORTFOLIO_SERVICE_URL": simulator.portfolio,
        "SECURITY_SERVICE_URL": simulator.security,
    }
    log = tmp_path_factory.mktemp("load") / "service.log"
    with running_service_process(environment, log) as (url, _):
        yield Target(url, request.param, upstreams)
    with MongoClient[dict[str, object]](mongodb_url) as client:
        client.drop_database(name)


@pytest.fixture(scope="module")
def market(upstreams: Upstreams) -> Market:
    return read_market(upstreams)


def failed(run: Run) -> set[tuple[str, str]]:
    return {(call.kind, call.failure) for call in run.calls if call.failure is not None}


def test_the_flow_runs_without_a_failure_at_the_rate_asked_for(target: Target, tmp_path: Path) -> None:
    """Every kind of call of the flow occurs, and rebalances arrive at the rate of the users."""
    run = run_locust(Profile.FLOW, target, tmp_path, rate=RATE, seconds=SECONDS)
    assert failed(run) == set()
    assert {call.kind for call in run.calls} == {"create model", "read model", "rebalance", "read rebalance"}
    rebalances = sum(call.kind == "rebalance" for call in run.calls)
    # Each of the three users begins once in every two seconds, at a moment of its own.
    assert RATE * WARM_UP_SECONDS <= rebalances <= 2 * RATE * WARM_UP_SECONDS


@pytest.mark.slow
def test_the_mixed_profile_does_everything_without_a_failure(target: Target, tmp_path: Path) -> None:
    """Six seconds of 20 actions are more than the deck of 80 that has them all."""
    run = run_locust(Profile.MIXED, target, tmp_path, rate=2.5, seconds=SECONDS)
    assert failed(run) == set()
    assert {call.kind for call in run.calls} == {
        *("list models", "create model", "read model", "read model history", "change position", "delete model"),
        *("list rebalances", "list summaries", "rebalance", "rebalance 100 x 50", "read rebalance", "delete rebalance"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("target", [Dialect.GLOBECO], indirect=True)
def test_a_ramp_goes_up_and_down_and_is_drawn(target: Target, tmp_path: Path) -> None:
    """Each step has its rate, and the picture is a PNG file."""
    run = run_locust(Profile.RAMP, target, tmp_path, rate=0.5, seconds=0.4)
    assert failed(run) == set()
    assert [step.rate for step in run.steps] == [0.5, 1, 2, 4, 8, 4, 2, 1, 0.5]
    begun = sum(call.kind == "rebalance" for call in run.calls)
    assert begun > 2 * 0.5 * run.steps[-1].ends, "more than the first step alone would have made"
    picture = tmp_path / "ramp.png"
    draw_ramp(run, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("target", [Dialect.GLOBECO], indirect=True)
def test_a_service_of_the_other_dialect_fails_every_flow(target: Target, tmp_path: Path) -> None:
    """The run reports the failures of the first call, and the step breaks the service level."""
    (other,) = set(Dialect) - {target.dialect}
    wrong = Target(target.host, other, target.upstreams)
    run = run_locust(Profile.FLOW, wrong, tmp_path, rate=0.5, seconds=SECONDS)
    assert failed(run) == {("create model", "400 VALIDATION_ERROR")}
    assert all(call.failure for call in run.calls)
    assert judge(run.steps[0], run.calls).broken


def test_nothing_is_measured_where_the_upstreams_cannot_be_asked(tmp_path: Path) -> None:
    """The run fails with the reason instead of reporting an empty result."""
    nowhere = "http://127.0.0.1:1"
    target = Target(nowhere, Dialect.STANDARD, Upstreams(nowhere, nowhere, nowhere))
    with pytest.raises(RunFailed, match=r"could not be read: .*refused"):
        run_locust(Profile.FLOW, target, tmp_path, rate=RATE, seconds=SECONDS)


def test_a_service_that_runs_already_needs_its_upstreams_too() -> None:
    """The command names the options that are missing."""
    unset = {f"{service}_SERVICE_URL": "" for service in ("SECURITY", "PRICING", "PORTFOLIO")}
    refused = CliRunner().invoke(main, ["--host", "http://127.0.0.1:1"], env=unset)
    assert refused.exit_code == 2
    assert "--host needs the URLs of the security, the pricing and the portfolio service" in refused.output


def test_targets_are_multiples_of_half_a_point_and_sum_to_exactly_95_points(market: Market) -> None:
    """Models of 1, 10 and 50 positions are valid, with distinct securities and portfolios."""
    for positions in (1, 10, 50):
        model = market.model(positions=positions)
        targets = [Decimal(str(position.target)) for position in model.positions]
        assert sum(targets) == Decimal("0.95")
        assert all(target > 0 and target % Decimal("0.005") == 0 for target in targets)
        assert len({position.security_id for position in model.positions}) == positions
        assert len(set(model.portfolios)) == 3


STEP = Step(rate=2.0, begins=4, ends=14)


def rebalances(*, count: int = 20, milliseconds: float = 50, failures: int = 0) -> list[Call]:
    return [
        Call(4 + number * 10 / count, "rebalance", milliseconds, "503" if number < failures else None)
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("calls", "broken"),
    [
        (rebalances(milliseconds=100), []),
        (rebalances(milliseconds=101), ["mean of all calls 101 ms", "mean of rebalances 101 ms"]),
        (rebalances(count=100, failures=1), []),
        (rebalances(count=100, failures=2), ["2.0% failed"]),
        (rebalances(count=17), ["only 1.7 of 2 rebalances a second"]),
        ([], ["only 0.0 of 2 rebalances a second"]),
        (
            [*rebalances(milliseconds=120), *(Call(5, "read model", 10, None) for _ in range(20))],
            ["mean of rebalances 120 ms"],
        ),
        ([Call(3.9, "rebalance", 5000, "slow"), *rebalances(), Call(14, "rebalance", 5000, "slow")], []),
    ],
    ids=["at the limit", "slow", "few fail", "many fail", "late", "nothing", "behind cheap reads", "outside the step"],
)
def test_a_step_is_judged_by_the_service_level(calls: list[Call], broken: list[str]) -> None:
    """Latency, failures and missing rebalances each break it, with the reason."""
    assert judge(STEP, calls).broken == broken


def test_a_rate_that_broke_once_gets_a_second_chance() -> None:
    """One bad measurement does not end the search."""
    seen: list[float] = []

    def measure(rate: float) -> Judged:
        seen.append(rate)
        hiccup = seen == [2.5, 5]
        return judge(
            Step(rate, 4, 14), rebalances(count=int(rate * 10), milliseconds=200 if hiccup or rate > 5 else 50)
        )

    held = [judged.step.rate for judged in search(measure, 2.5) if not judged.broken]
    assert max(held) == 5


@pytest.mark.parametrize(
    ("breaks_above", "measured"),
    [(23.0, [2.5, 5, 10, 20, 40, 40, 30, 30, 25, 25, 22.5, 23.75, 23.75]), (2.0, [2.5, 2.5])],
    ids=["between steps", "at once"],
)
def test_a_search_closes_in_on_the_highest_rate_that_holds(breaks_above: float, measured: list[float]) -> None:
    """The rates double until one breaks twice, and are halved between."""

    def measure(rate: float) -> Judged:
        milliseconds = 50 if rate <= breaks_above else 200
        return judge(Step(rate, 4, 14), rebalances(count=int(rate * 10), milliseconds=milliseconds))

    assert [judged.step.rate for judged in search(measure, 2.5)] == measured
