"""Metrics that are read when they are collected: the solver pool, the circuit breakers, the processes."""

import os
from collections.abc import Iterator
from typing import Any

import psutil
import structlog
from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from app.observability.metrics import Metrics
from integrations import Upstreams
from solver.pool import SolverPool

log = structlog.get_logger(__name__)

BREAKER_STATES = {"closed": 0, "half_open": 1, "open": 2}


def register_figures(metrics: Metrics, solvers: SolverPool[Any, Any], upstreams: Upstreams | None) -> None:
    """Add the figures of these parts, and of this process, to what is collected."""
    if upstreams is not None:
        metrics.expect_services(upstreams.states())
        metrics.registry.register(BreakerFigures(upstreams))
    ProcessCollector(registry=metrics.registry)
    metrics.registry.register(SolverFigures(solvers))


def log_loss(pid: int | None, reason: str) -> None:
    """Log a solver process that was lost, or that did not start."""
    log.warning("solver process lost", pid=pid, reason=reason)


class SolverFigures(Collector):
    """The solver pool, its processes by their place in it, and beside them the process that serves HTTP."""

    def __init__(self, solvers: SolverPool[Any, Any]) -> None:
        self._solvers = solvers

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Yield the current figures."""
        figures = self._solvers.figures()
        yield GaugeMetricFamily(
            "order_generation_solver_queue_depth", "Portfolios waiting for a solver process.", figures.queued
        )
        yield GaugeMetricFamily("order_generation_solver_busy", "Solver processes at work.", figures.busy)
        yield GaugeMetricFamily(
            "order_generation_solver_processes", "Solver processes that are running.", len(figures.pids)
        )
        yield GaugeMetricFamily(
            "order_generation_solver_processes_wanted", "Solver processes that are configured.", len(figures.slots)
        )
        yield CounterMetricFamily(
            "order_generation_solver_restarts", "Solver processes that had to be replaced.", figures.restarts
        )
        memory = GaugeMetricFamily(
            "order_generation_process_resident_bytes", "Memory of a process.", labels=("process",)
        )
        processor = CounterMetricFamily(
            "order_generation_process_cpu_seconds", "Processor time of a process.", labels=("process",)
        )
        processes = {"api": os.getpid(), **{f"solver-{place}": pid for place, pid in enumerate(figures.slots) if pid}}
        for name, pid in processes.items():
            try:
                process = psutil.Process(pid)
                with process.oneshot():
                    times = process.cpu_times()
                    resident = process.memory_info().rss
            except psutil.Error:
                continue  # it ended a moment ago
            memory.add_metric((name,), resident)
            processor.add_metric((name,), times.user + times.system)
        yield memory
        yield processor


class BreakerFigures(Collector):
    """The circuit breaker of each upstream service."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the current figures."""
        state = GaugeMetricFamily(
            "order_generation_upstream_breaker_state",
            "Circuit breaker of an upstream service: 0 closed, 1 half open, 2 open.",
            labels=("service",),
        )
        for service, name in self._upstreams.states().items():
            state.add_metric((service,), BREAKER_STATES[name])
        yield state
