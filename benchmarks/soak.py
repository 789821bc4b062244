"""Whether anything grows under a mixed load that leaves nothing behind.

    ./run bench soak --seconds 600

Single and large rebalances, models created, changed and deleted, the history read and deleted. The exit code is 1 where
the API process's memory grows by more than a twentieth from the second quarter to the last, where open handles other
than database connections, or processes, grow at all, or where a request fails. The samples are in `out/soak.csv`.
"""

import asyncio
import csv
import sys
import time
from pathlib import Path

import click
import uvloop
from msgspec import Struct
from msgspec.structs import asdict
from pymongo import MongoClient
from rich.table import Table

from benchmarks.growth import Growth, growth
from benchmarks.mixed_load import MixedLoad
from benchmarks.processes import MEBIBYTE, api_process, proportional_memory, service_processes
from benchmarks.stack import benchmark_stack
from benchmarks.tables import MARKDOWN_OPTION, progress, show, table

SAMPLES = Path("out/soak.csv")
SAMPLE_SECONDS = 3.0
FEWEST_SAMPLES = 8
TOLERATED = {"api_mib": 0.05, "other_handles": 0.0, "processes": 0.0}
"""How much may grow from the second quarter to the last, as a share; what is not named here is shown only. Of
connections to the database there are as many as were ever in use at once, up to a bound of their own."""


class Sample(Struct, frozen=True):
    """The service at one moment; memory in MiB, resident of the API process, proportional of all processes.

    Attributes:
        other_handles: open files and sockets but those of connections to the database.
    """

    seconds: float
    api_mib: float
    service_mib: float
    other_handles: int
    threads: int
    processes: int
    database_connections: int


@click.command()
@click.option("--seconds", default=600.0, show_default=True, help="Seconds of load.")
@MARKDOWN_OPTION
def main(*, seconds: float, markdown: bool) -> None:
    """Load the service for a while and watch for anything that grows."""
    if seconds < FEWEST_SAMPLES * SAMPLE_SECONDS:
        raise click.UsageError(f"a soak takes at least {FEWEST_SAMPLES * SAMPLE_SECONDS:g} seconds")
    with benchmark_stack() as stack, progress.status(f"Soaking for {seconds:g} s"):
        load = MixedLoad(stack)
        samples = uvloop.run(_soak(load, seconds, stack.service.pid, stack.mongodb_url))
    _write(samples)
    found = _growths(samples)
    grown = [name for name, tolerated in TOLERATED.items() if found[name].since_second > tolerated]
    calls = table("Calls", "call", "returned", "a second")
    for what, count in load.completed.most_common():
        calls.add_row(what, f"{count:,}", f"{count / seconds:.1f}")
    verdict = f"{len(load.failures)} calls failed. Grown: {', '.join(grown) or 'nothing'}. Samples: {SAMPLES}."
    show(_table(found), calls, verdict, *load.failures[:5], markdown=markdown)
    if grown or load.failures:
        sys.exit(1)


async def _soak(load: MixedLoad, seconds: float, server: int, mongodb_url: str) -> list[Sample]:
    samples: list[Sample] = []
    running = asyncio.create_task(load.run(seconds))
    began = time.monotonic()
    with MongoClient[dict[str, object]](mongodb_url) as client:
        while not running.done():
            samples.append(await asyncio.to_thread(_sample, time.monotonic() - began, server, client))
            await asyncio.wait({running}, timeout=SAMPLE_SECONDS)
    await running
    return samples


def _sample(seconds: float, server: int, client: MongoClient[dict[str, object]]) -> Sample:
    processes = service_processes(server)
    connections = client.admin.command("serverStatus")["connections"]["current"]
    return Sample(
        seconds=round(seconds, 3),
        api_mib=api_process(server).memory_info().rss / MEBIBYTE,
        service_mib=proportional_memory(processes),
        other_handles=sum(process.num_fds() for process in processes) - connections,
        threads=sum(process.num_threads() for process in processes),
        processes=len(processes),
        database_connections=connections,
    )


def _growths(samples: list[Sample]) -> dict[str, Growth]:
    moments = [sample.seconds for sample in samples]
    names = [name for name in Sample.__struct_fields__ if name != "seconds"]
    return {name: growth(moments, [getattr(sample, name) for sample in samples]) for name in names}


def _table(found: dict[str, Growth]) -> Table:
    headings = ("last : first", "last : second", "first quarter", "second quarter", "last quarter", "growth an hour")
    results = table("Medians by quarter of the soak", "of the service", *headings)
    for name, grown in found.items():
        cells = (grown.first, grown.second, grown.last, grown.an_hour)
        ratios = (grown.last / grown.first, 1 + grown.since_second)
        results.add_row(
            name.replace("_", " "), *(f"{each:.3f}" for each in ratios), *(f"{each:,.1f}" for each in cells)
        )
    return results


def _write(samples: list[Sample]) -> None:
    SAMPLES.parent.mkdir(exist_ok=True)
    with SAMPLES.open("w", newline="") as file:
        rows = csv.DictWriter(file, Sample.__struct_fields__)
        rows.writeheader()
        rows.writerows(asdict(sample) for sample in samples)
