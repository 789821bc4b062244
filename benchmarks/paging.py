"""The first, a middle and the last page of every list in every order, over a long history.

    ./run bench paging

The rebalances are copies of one that the service made and stored, so they are what it reads every day.
"""

import statistics
from collections.abc import Iterator, Sequence
from itertools import permutations, product
from urllib.parse import urlencode

import click
import httpx
import uvloop
from msgspec import Struct
from rich.progress import track

from app.commands.stack import Stack
from app.history.endpoints import SORT_FIELDS as REBALANCE_ORDERS
from app.models.endpoints import SORT_FIELDS as MODEL_ORDERS
from benchmarks.clients import Call, client_session, timed
from benchmarks.history import TEMPLATE, write_history
from benchmarks.models import WORLD
from benchmarks.stack import benchmark_stack
from benchmarks.tables import MARKDOWN_OPTION, milliseconds, progress, ratio, show, table

PAGE = 10
DEEPEST_ORDER = 2
"""Fields of an order: all single ones, and all pairs."""


class Page(Struct, frozen=True):
    """A page of a list in an order, and how it is asked for."""

    listing: str
    order: str
    which: str
    call: Call


@click.command()
@click.option("--models", default=10_000, show_default=True, help="Number of stored models.")
@click.option("--rebalances", default=100_000, show_default=True, help="Number of stored rebalances.")
@click.option("--turns", default=3, show_default=True, help="How often each page is read.")
@click.option("--rows", default=20, show_default=True, help="Number of pages in the table, slowest first.")
@MARKDOWN_OPTION
def main(*, models: int, rebalances: int, turns: int, rows: int, markdown: bool) -> None:
    """Find the slowest page of any list."""
    with benchmark_stack() as stack:
        with progress.status(f"Storing {models:,} models and {rebalances:,} rebalances"):
            write_history(stack, models, rebalances)
        pages = [*_model_pages(stack, models), *_rebalance_pages(stack, rebalances)]
        seconds = uvloop.run(_measure(pages, turns))
        with progress.status("Finding rebalances by portfolio"):
            found = _of_one_portfolio(stack, turns)
    by_time = sorted(zip(seconds, pages, strict=True), key=lambda pair: -pair[0])
    typical = statistics.median(seconds)
    title = f"The {rows} slowest of {len(pages)} pages over {models:,} models and {rebalances:,} rebalances"
    slowest = table(title, "list", "order", "page", "to the median page", "ms")
    for taken, page in by_time[:rows]:
        slowest.add_row(page.listing, page.order, page.which, ratio(taken / typical), milliseconds(taken))
    sums = table("All pages, by list", "list", "pages", "median ms", "slowest ms")
    for listing in dict.fromkeys(page.listing for page in pages):
        some = [taken for taken, page in zip(seconds, pages, strict=True) if page.listing == listing]
        sums.add_row(listing, str(len(some)), milliseconds(statistics.median(some)), milliseconds(max(some)))
    sums.add_row("rebalances of one portfolio, first page", "1", milliseconds(found), milliseconds(found))
    show(slowest, sums, markdown=markdown)


def _model_pages(stack: Stack, models: int) -> Iterator[Page]:
    url = f"{stack.service_url}/api/v1/models"
    for order in _orders(tuple(MODEL_ORDERS)):
        yield from _pages("models", url, order, models)
    yield Page("all models", "-", "all", Call("GET", url))


def _rebalance_pages(stack: Stack, rebalances: int) -> Iterator[Page]:
    url = f"{stack.service_url}/api/v1/rebalances"
    for order in _orders(tuple(REBALANCE_ORDERS)):
        yield from _pages("rebalances", url, order, rebalances)
    # Without positions the order costs the same; one field in both directions tells what a summary saves.
    for order in _orders(tuple(REBALANCE_ORDERS)[:1]):
        yield from _pages("rebalances, summary", f"{url}?view=summary", order, rebalances)


def _orders(fields: Sequence[str]) -> Iterator[str]:
    """Return every order of one or two fields, each in both directions."""
    for length in range(1, DEEPEST_ORDER + 1):
        for chosen in permutations(fields, length):
            for signs in product("+-", repeat=length):
                yield ",".join(sign + field for sign, field in zip(signs, chosen, strict=True))


def _pages(listing: str, url: str, order: str, count: int) -> Iterator[Page]:
    for which, offset in (("first", 0), ("middle", count // 2), ("last", count - PAGE)):
        query = urlencode({"offset": offset, "limit": PAGE, "sort_by": order})
        yield Page(listing, order, which, Call("GET", f"{url}{'&' if '?' in url else '?'}{query}"))


async def _measure(pages: Sequence[Page], turns: int) -> list[float]:
    """Median seconds of each page; the pages take turns."""
    seconds: list[list[float]] = [[] for _ in pages]
    async with client_session() as session:
        for turn in range(turns):
            for taken, page in track(
                list(zip(seconds, pages, strict=True)), f"turn {turn + 1} of {turns}", console=progress, transient=True
            ):
                taken.append((await timed(session, page.call))[0])
    return [statistics.median(taken) for taken in seconds]


def _of_one_portfolio(stack: Stack, turns: int) -> float:
    """Median seconds to find the first page of the rebalances of a portfolio that every one of them has."""
    body = {"portfolios": WORLD.portfolio_ids(0, TEMPLATE.portfolios)[:1]}
    seconds = []
    with httpx.Client(timeout=60) as client:
        for _ in range(turns):
            response = client.post(f"{stack.service_url}/api/v1/rebalances/portfolios", json=body).raise_for_status()
            seconds.append(response.elapsed.total_seconds())
    return statistics.median(seconds)
