"""What a portfolio costs in requests of ten to five thousand, and the memory that such a request takes.

    ./run bench scale

The sizes take turns, so that whatever else the machine does meets them all. Memory is the peak of the first turn, in
which the sizes come in rising order; positions beyond the hundred that a model can have are held outside it.
"""

import random
import statistics

import click
import uvloop
from msgspec import Struct, field

from app.commands.stack import Stack
from benchmarks.clients import Call, client_session, timed
from benchmarks.models import Size, create_model, hold_outside_model, rebalance_url
from benchmarks.processes import Peak, peak_memory
from benchmarks.stack import another_service, benchmark_stack
from benchmarks.tables import MARKDOWN_OPTION, milliseconds, progress, ratio, show, table

PORTFOLIOS = (10, 100, 1000, 5000)
MANY_POSITIONS = Size(100, 500)
TURN_PORTFOLIOS = 200
"""Small requests are repeated within a turn until they have had so many portfolios."""


class Measured(Struct):
    """One size: seconds of each request, bytes of an answer, and the peak of memory in the first turn."""

    seconds: list[float]
    answer: int = 0
    peak: Peak = field(default_factory=Peak)

    def portfolio_seconds(self, size: Size) -> float:
        """Median seconds for one portfolio."""
        return statistics.median(self.seconds) / size.portfolios


@click.command()
@click.option("--positions", default=50, show_default=True, help="Of each portfolio, at most 100.")
@click.option("--turns", default=5, show_default=True, help="Turns of each size.")
@MARKDOWN_OPTION
def main(*, positions: int, turns: int, markdown: bool) -> None:
    """Say how the cost of a portfolio grows with the number of portfolios of a request."""
    sizes = [Size(portfolios, positions) for portfolios in PORTFOLIOS]
    with benchmark_stack() as stack:
        measured = uvloop.run(_measure(stack, sizes, turns))
        hold_outside_model(stack, MANY_POSITIONS)
        # A service of its own: it has read no prices yet, and its memory has not grown with other requests.
        with another_service(stack) as other:
            measured |= uvloop.run(_measure(other, [MANY_POSITIONS], turns))
    headings = ("cost of a portfolio", "ms a portfolio", "s a request", "answer MB", "API MiB", "service MiB")
    results = table("Cost by size of the request; memory is the peak", "portfolios x positions", *headings)
    cheapest = min(measured[size].portfolio_seconds(size) for size in sizes)
    for size, found in measured.items():
        results.add_row(
            str(size),
            ratio(found.portfolio_seconds(size) / cheapest),
            milliseconds(found.portfolio_seconds(size)),
            f"{statistics.median(found.seconds):.2f}",
            f"{found.answer / 1e6:.2f}",
            f"{found.peak.api:.0f}",
            f"{found.peak.service:.0f}",
        )
    show(results, markdown=markdown)


async def _measure(stack: Stack, sizes: list[Size], turns: int) -> dict[Size, Measured]:
    calls = {size: Call("POST", rebalance_url(stack, create_model(stack, size))) for size in sizes}
    measured = {size: Measured([]) for size in sizes}
    shuffled = random.Random(1)
    async with client_session() as session:
        for turn in range(turns + 1):
            order = sizes if turn == 0 else shuffled.sample(sizes, len(sizes))
            for size in order:
                found = measured[size]
                with progress.status(f"turn {turn}: {size}"):
                    if turn == 0:
                        with peak_memory(stack.service.pid) as found.peak:
                            _, answer = await timed(session, calls[size])
                            found.answer = len(answer)
                    else:
                        for _ in range(max(1, TURN_PORTFOLIOS // size.portfolios)):
                            found.seconds.append((await timed(session, calls[size]))[0])
    return measured
