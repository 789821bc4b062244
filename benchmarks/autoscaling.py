"""How many replicas each metric of an autoscaler leads to while load rises and falls: a deterministic simulation.

Requests of a thousand portfolios arrive at random, from a seed, and stay on the pod that they reach: a new pod helps
only those that arrive later. A request keeps 16 portfolios in flight (REBALANCE_CONCURRENCY). In a pod they move
between one API process and four solver processes, each for its measured processor time; where they are follows from
the balance of both rates (a closed network of two stations with exponential times, solved exactly). Prometheus, the
autoscaler and the start of a pod have the intervals of `kustomize/overlays/keda` and Kubernetes' defaults.
"""

import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from heapq import heappop, heappush
from statistics import fmean, quantiles

import click
from msgspec import Struct

from benchmarks.tables import MARKDOWN_OPTION, show, table

API_SECONDS, SOLVER_SECONDS = 0.00034, 0.00040
"""Processor time for one portfolio of 50 positions (docs/performance.md, "Where the time goes")."""
SOLVERS = 4
REQUESTED_CORES = 2.0
IN_FLIGHT = 16
PORTFOLIOS = 1000
DEADLINE_SECONDS = 60.0
PROFILE = ((300, 0.2), (900, 8.0), (1500, 0.2))
"""Seconds, and requests of a thousand portfolios a second: quiet, what three pods carry at most, quiet."""
STEP_SECONDS = 0.05
INTERVAL_SECONDS = 15.0
"""Of Prometheus, of the metrics server and of the autoscaler."""
WINDOW = 4
"""Scrapes in the minute that the query averages."""
START_SECONDS = 20.0
"""From the decision for a new pod to its first request."""
MINIMUM, MAXIMUM = 2, 10
SCALE_DOWN_SECONDS = 300.0
TOLERANCE = 0.1
SEED = 7


class Stations(Struct, frozen=True):
    """A pod with some portfolios in flight, on average.

    Attributes:
        rate: portfolios a second.
        busy: solver processes at work.
        waiting: portfolios waiting for one.
    """

    rate: float
    busy: float
    waiting: float


@cache
def stations(in_flight: int) -> Stations:
    """Return where the portfolios in flight are: the stationary state of the closed network."""
    weights = [1.0]
    for at_solver in range(1, in_flight + 1):
        weights.append(weights[-1] * SOLVER_SECONDS / API_SECONDS / min(at_solver, SOLVERS))
    total = sum(weights)
    shares = [weight / total for weight in weights]
    busy = sum(share * min(count, SOLVERS) for count, share in enumerate(shares))
    waiting = sum(share * max(0, count - SOLVERS) for count, share in enumerate(shares))
    return Stations(busy / SOLVER_SECONDS, busy, waiting)


class Pod:
    """A pod whose requests share what it can do equally.

    Attributes:
        scrapes: requests in it at the last scrapes.
        cores: processor time since the last look of the metrics server, divided by the interval.
    """

    def __init__(self, ready_at: float) -> None:
        self.ready_at = ready_at
        self.leaving = False
        self.scrapes: deque[int] = deque(maxlen=WINDOW)
        self.cores = 0.0
        self._done = 0.0  # portfolios of each request that has been here since the beginning
        self._requests: list[tuple[float, float]] = []
        self._processor_seconds = 0.0

    def __len__(self) -> int:
        """Return the number of requests in it."""
        return len(self._requests)

    def accept(self, now: float) -> None:
        """Begin a request."""
        heappush(self._requests, (self._done + PORTFOLIOS, now))

    def work(self, now: float) -> list[float]:
        """Work for a step, and return how long each request took that ended, completed or at its deadline."""
        if not self._requests:
            return []
        rate = stations(IN_FLIGHT * len(self)).rate
        self._done += rate * STEP_SECONDS / len(self)
        self._processor_seconds += rate * STEP_SECONDS * (API_SECONDS + SOLVER_SECONDS)
        ended = []
        # All advance equally, so the first to complete and the first to reach its deadline are the same one.
        while self._requests and (self._requests[0][0] <= self._done or now - self._requests[0][1] >= DEADLINE_SECONDS):
            ended.append(now - heappop(self._requests)[1])
        return ended

    def look(self) -> None:
        """Be scraped, and be measured by the metrics server."""
        self.scrapes.append(len(self))
        self.cores = self._processor_seconds / INTERVAL_SECONDS
        self._processor_seconds = 0.0


type Recommend = Callable[[Sequence[Pod]], int]
"""Returns how many replicas a metric calls for, given the pods that are ready."""


def _of_average(threshold: float, value: Callable[[int], float]) -> Recommend:
    """Scale on the sum of a pod's value, averaged over a minute, with a threshold for each replica."""

    def recommend(pods: Sequence[Pod]) -> int:
        total = sum(fmean(value(count) for count in pod.scrapes) for pod in pods if pod.scrapes)
        return _outside_tolerance(total / threshold, len(pods))

    return recommend


def old_metric(pods: Sequence[Pod]) -> int:
    """Scale on the portfolios that wait for a solver process, the most of the last minute, 25 for each replica."""
    total = sum(max(stations(IN_FLIGHT * count).waiting for count in pod.scrapes) for pod in pods if pod.scrapes)
    return _outside_tolerance(total / 25, len(pods))


def processor(percent: float) -> Recommend:
    """Scale on the share of the requested cores that is used."""

    def recommend(pods: Sequence[Pod]) -> int:
        used = fmean(pod.cores for pod in pods) / REQUESTED_CORES * 100
        return _outside_tolerance(len(pods) * used / percent, len(pods))

    return recommend


def in_flight(threshold: float) -> Recommend:
    """Scale on the portfolios in flight."""
    return _of_average(threshold, lambda requests: IN_FLIGHT * requests)


def in_solver(threshold: float) -> Recommend:
    """Scale on the portfolios that are with the solver, being solved or waiting."""
    return _of_average(threshold, lambda requests: sum(_with_solver(requests)))


def highest(*metrics: Recommend) -> Recommend:
    """Scale on whichever metric calls for the most replicas, as an autoscaler with several does."""
    return lambda pods: max(metric(pods) for metric in metrics)


def _with_solver(requests: int) -> tuple[float, float]:
    found = stations(IN_FLIGHT * requests)
    return found.busy, found.waiting


def _outside_tolerance(replicas: float, present: int) -> int:
    return present if abs(replicas / present - 1) <= TOLERANCE else math.ceil(replicas)


class Run(Struct, frozen=True):
    """What a load met.

    Attributes:
        replicas: at the end of each minute.
        seconds: of each request.
        failed: requests that reached the deadline.
    """

    replicas: tuple[int, ...]
    seconds: tuple[float, ...]
    failed: int

    @property
    def pod_minutes(self) -> int:
        """What the replicas cost."""
        return sum(self.replicas)


class _Cluster:
    def __init__(self, recommend: Recommend) -> None:
        self.pods = [Pod(0) for _ in range(MINIMUM)]
        self._recommend = recommend
        self._recommended: deque[tuple[float, int]] = deque()

    @property
    def replicas(self) -> int:
        return sum(not pod.leaving for pod in self.pods)

    def ready(self, now: float) -> list[Pod]:
        return [pod for pod in self.pods if pod.ready_at <= now and not pod.leaving]

    def scale(self, now: float) -> None:
        """Decide as the autoscaler does: up at once, at most doubled or by four; down by the most of five minutes."""
        wanted = max(MINIMUM, min(MAXIMUM, self._recommend(self.ready(now))))
        self._recommended.append((now, wanted))
        while self._recommended[0][0] < now - SCALE_DOWN_SECONDS:
            self._recommended.popleft()
        present = self.replicas
        if wanted > present:
            for _ in range(min(wanted, max(2 * present, present + 4)) - present):
                self.pods.append(Pod(now + START_SECONDS))
        else:
            keep = min(present, max(replicas for _, replicas in self._recommended))
            for pod in [pod for pod in self.pods if not pod.leaving][keep:]:
                pod.leaving = True
        self.pods = [pod for pod in self.pods if len(pod) or not pod.leaving]


def simulate(recommend: Recommend, profile: Sequence[tuple[float, float]] = PROFILE, seed: int = SEED) -> Run:
    """Return what happens to a load; the same arguments always have the same result.

    Args:
        recommend: the metric.
        profile: seconds and requests a second, one after the other.
        seed: of the arrivals and of the pods that they reach.
    """
    chance = random.Random(seed)
    cluster = _Cluster(recommend)
    replicas, seconds, failed = [], [], 0
    steps = round(sum(length for length, _ in profile) / STEP_SECONDS)
    ends = [(sum(length for length, _ in profile[: place + 1]), rate) for place, (_, rate) in enumerate(profile)]
    arrival = chance.expovariate(profile[0][1])
    for step in range(steps):
        now = step * STEP_SECONDS
        while arrival <= now:
            chance.choice(cluster.ready(now)).accept(arrival)
            arrival += chance.expovariate(next(rate for end, rate in ends if now < end))
        for pod in cluster.pods:
            for took in pod.work(now + STEP_SECONDS):
                seconds.append(took)
                failed += took >= DEADLINE_SECONDS
        if step % round(INTERVAL_SECONDS / STEP_SECONDS) == 0 and step:
            for pod in cluster.ready(now):
                pod.look()
            cluster.scale(now)
        if step % round(60 / STEP_SECONDS) == 0 and step:
            replicas.append(cluster.replicas)
    return Run(tuple(replicas), tuple(seconds), failed)


METRICS: dict[str, Recommend] = {
    "waiting for the solver, 25 (until November 2026)": old_metric,
    "waiting or being solved, 12": in_solver(12),
    "CPU 70% (production)": processor(70),
    "in flight, 12": in_flight(12),
    "in flight, 12, and CPU 70% (keda)": highest(in_flight(12), processor(70)),
}


@click.command()
@MARKDOWN_OPTION
@click.option("--seed", default=SEED, show_default=True, help="Seed of the arrivals.")
def main(*, markdown: bool, seed: int) -> None:
    """Simulate what each metric of an autoscaler does under a load that rises and falls."""
    title = "8 requests a second of 1,000 portfolios for 15 minutes, 0.2 a second before and after"
    results = table(
        title, "metric", "replicas, minutes 5 to 23", "most", "pod minutes", "mean s", "95% s", "past the deadline"
    )
    for name, recommend in METRICS.items():
        run = simulate(recommend, seed=seed)
        results.add_row(
            name,
            " ".join(str(each) for each in run.replicas[4:24:3]),
            str(max(run.replicas)),
            f"{run.pod_minutes}",
            f"{fmean(run.seconds):.2f}",
            f"{quantiles(run.seconds, n=20)[-1]:.2f}",
            f"{run.failed / len(run.seconds):.0%}",
        )
    show(results, markdown=markdown)


if __name__ == "__main__":
    main()
