"""Stored rebalances read back, against a bare handler and against computing them.

    ./run bench reading

The bare handler of `benchmarks.floor` reads the same documents and sends the same bytes. The calls take turns, so that
whatever else the machine does meets all of them. Processor time is that of all processes, MongoDB included.
"""

import statistics
import time

import click
import httpx
import uvloop

from app.commands.stack import Stack
from benchmarks.clients import Call, take_turns
from benchmarks.models import RESPONSE_SECONDS, Size, create_model, rebalance_url
from benchmarks.recorded_floor import running_floor
from benchmarks.stack import benchmark_stack
from benchmarks.tables import MARKDOWN_OPTION, milliseconds, progress, ratio, show, table

SIZE = Size(100, 50)
FIRST_BYTES = 9
"""Requests of which the median time to the first byte is reported."""


@click.command()
@click.option("--rebalances", default=20, show_default=True, help="Rebalances in the list.")
@click.option("--rounds", default=10, show_default=True, help="How often each is measured.")
@MARKDOWN_OPTION
def main(*, rebalances: int, rounds: int, markdown: bool) -> None:
    """Compare reading stored rebalances with a bare handler and with computing them.

    Exits with 1 if anything failed.
    """
    results = table(
        f"Reading rebalances of {SIZE}",
        "read",
        "ms of CPU of each, service",
        "bare handler",
        "service : bare handler",
        "service : computing",
        "by the clock, service : bare handler",
        "ms to the first byte",
    )
    failures = 0
    with benchmark_stack() as stack, progress.status("Storing rebalances"):
        model_id = create_model(stack, SIZE)
        with running_floor(stack, model_id, rebalances) as floor_url:
            compute = Call("POST", rebalance_url(stack, model_id))
            one = f"{stack.service_url}/api/v1/rebalance/{_newest(stack)}"
            listed = f"{stack.service_url}/api/v1/rebalances?limit={rebalances}"
            for what, url, count in (("one", one, 1), (f"a list of {rebalances}", listed, rebalances)):
                progress.log(f"Reading {what}")
                calls = (Call("GET", url), Call("GET", f"{floor_url}/rebalances?limit={count}"), compute)
                (service, floor, computing), failed = uvloop.run(take_turns(rounds, *calls))
                failures += failed
                results.add_row(
                    what,
                    milliseconds(service.cpu),
                    milliseconds(floor.cpu),
                    ratio(service.cpu / floor.cpu),
                    ratio(service.cpu / count / computing.cpu),
                    ratio(service.seconds / floor.seconds),
                    milliseconds(_first_byte(url)),
                )
    show(results, markdown=markdown)
    if failures:
        raise SystemExit(1)


def _newest(stack: Stack) -> str:
    response = httpx.get(f"{stack.service_url}/api/v1/rebalances?limit=1&view=summary").raise_for_status()
    rebalance_id: str = response.json()[0]["rebalanceId"]
    return rebalance_id


def _first_byte(url: str) -> float:
    """Return the median time in seconds until the first byte of the body arrives."""
    seconds = []
    with httpx.Client(timeout=RESPONSE_SECONDS, headers={"Accept-Encoding": "identity"}) as client:
        for _ in range(FIRST_BYTES):
            started = time.perf_counter()
            with client.stream("GET", url) as response:
                chunks = response.raise_for_status().iter_raw()
                next(chunks)
                seconds.append(time.perf_counter() - started)
                for _ in chunks:
                    pass
    return statistics.median(seconds)
