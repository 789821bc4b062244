"""The demo: the whole stack on this machine, one model on three portfolios, and its rebalance shown as tables."""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from decimal import Decimal
from pathlib import Path

import aiohttp
import msgspec
from bson import ObjectId
from dotenv import dotenv_values
from msgspec import Struct
from rich import box
from rich.console import Console
from rich.table import Table

from app.commands.demo_orders import send_twice, show_orders
from app.commands.stack import LOOPBACK, Stack, StackFailed, running_stack
from app.history.schemas import PortfolioResultDTO, RebalanceResultDTO
from app.http.dialect import Dialect
from app.settings import load_settings
from app.solver_task.schemas import RebalanceDTO
from integrations.simulator import SimulatorSettings, SpecialCase, World
from persistence import RebalancedPortfolio, open_database

TARGETS = ("0.15", "0.125", "0.12", "0.105", "0.1", "0.095", "0.08", "0.075", "0.06", "0.04")
"""Ten positions that leave the 5% in cash that every model must."""
DRIFT = "0.02"
DATABASE_NAME = "order_generation"
NARROW = 74
"""Columns that the tables need."""


class Shown(Struct, frozen=True):
    """One rebalance, as the service returned it, as it reads back over HTTP, and as it is stored."""

    model_id: str
    rebalanced: list[RebalanceDTO]
    result: RebalanceResultDTO
    stored: list[RebalancedPortfolio]


def run(*, once: bool, orders: bool = False) -> None:
    """Run the demo until it is interrupted, or once.

    Raises:
        InvalidSetting: an environment variable is wrong.
        SystemExit: a part of it did not start.
    """
    chosen = load_settings()
    dialect = chosen.api_dialect
    console = Console(highlight=False)
    # A request to stop, and a terminal that closes, are interrupts like Ctrl-C, so that every part is stopped in order.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    world = World(SimulatorSettings())
    try:
        with tempfile.TemporaryDirectory(prefix="order-generation-demo-") as directory, _progress(console) as step:
            log = Path(directory) / "service.log"
            settings = {"DATABASE_NAME": DATABASE_NAME, **({"ORDERS_ENABLED": "true"} if orders else {})}
            # The demo chooses a free port unless the user sets one.
            named = dotenv_values(".env").keys() | os.environ.keys()
            host = chosen.host if "HOST" in named else LOOPBACK
            port = chosen.port if "PORT" in named else None
            with running_stack(log=log, settings=settings, host=host, port=port, on_step=step) as stack:
                step("Creating a model and rebalancing its portfolios")
                shown = asyncio.run(_rebalance(stack, world, dialect))
                step("")
                if not once:
                    console.print(f"\nOpen         {stack.service_url}/pages/model/{shown.model_id}", soft_wrap=True)
                _show(console, shown, world)
                if orders and shown.rebalanced[0].rebalance_id is not None:
                    step("Sending the orders, and sending them again")
                    sent = asyncio.run(send_twice(stack, shown.rebalanced[0].rebalance_id, dialect))
                    step("")
                    show_orders(console, sent)
                if once:
                    console.print("Without --once the service stays up, with its pages and its API documentation.")
                else:
                    _show_links(console, stack, shown, log)
                    console.print("\nThe service stays up; Ctrl-C stops it and everything it started.")
                    signal.pause()
                step("Stopping")
    except KeyboardInterrupt:
        # The terminal may be gone.
        with suppress(OSError):
            console.print("Stopped.")
    except StackFailed as failure:
        console.print(str(failure), style="red", markup=False)
        raise SystemExit(1) from None


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str], None]]:
    """Show what is going on now, and for what is done how long it took; an empty step shows nothing."""
    doing, since = "", time.monotonic()
    # A spinner that does not fit into its line leaves every one of its pictures behind.
    animated = console.is_terminal and console.width >= NARROW
    with console.status("") if animated else nullcontext() as status:

        def step(name: str) -> None:
            nonlocal doing, since
            if doing:
                console.print(f"[green]✓[/green] {doing} [dim]{time.monotonic() - since:.1f} s[/dim]")
            doing, since = name, time.monotonic()
            if status is None:
                return
            if name:
                status.update(name)
                status.start()
            else:
                status.stop()

        yield step


async def _rebalance(stack: Stack, world: World, dialect: Dialect) -> Shown:
    """Create the model and rebalance it, as any client would: through HTTP, in the dialect that the service speaks."""
    model = {
        "name": "Demo: ten positions",
        "positions": [
            {"securityId": security_id, "target": target, "highDrift": DRIFT, "lowDrift": DRIFT}
            for security_id, target in zip(world.priced_security_ids(), TARGETS, strict=False)
        ],
        "portfolios": [
            *world.portfolio_ids(0, 1),
            world.case_id(SpecialCase.INVESTED),
            world.case_id(SpecialCase.OUTSIDE),
        ],
    }
    async with aiohttp.ClientSession(stack.service_url) as client:

        async def call[T](method: str, path: str, kind: type[T], body: object = None) -> T:
            async with client.request(method, f"/api/v1{path}", json=body) as response:
                text = await response.read()
                if not response.ok:
                    raise StackFailed(f"The service returned {response.status}: {text.decode()}")
                decoded: T = msgspec.json.decode(text, type=dialect.type_of(kind))
                return decoded

        created = await call("POST", "/models", dict[str, object], dialect.spell(model))
        model_id = str(created[dialect.field_name("modelId")])
        rebalanced = await call("POST", f"/model/{model_id}/rebalance", list[RebalanceDTO])
        result = await call("GET", f"/rebalance/{rebalanced[0].rebalance_id}", RebalanceResultDTO)
    # How each portfolio was solved is stored with it and no part of the public response.
    async with open_database(stack.mongodb_url, DATABASE_NAME) as database:
        header = await database.rebalances.get(ObjectId(rebalanced[0].rebalance_id))
        stored = [portfolio async for portfolio in database.rebalances.portfolios(header)]
    return Shown(model_id, rebalanced, result, stored)


def _show(console: Console, shown: Shown, world: World) -> None:
    for rebalanced, read_back in zip(shown.rebalanced, shown.result.portfolios, strict=True):
        console.print()
        console.rule(f"[bold]{rebalanced.portfolio_name}[/bold]  [dim]{rebalanced.portfolio_id}[/dim]", align="left")
        if rebalanced.error:
            console.print(f"[red]{rebalanced.error.code}[/red] {rebalanced.error.message}")
            continue
        console.print(
            f"market value [bold]{rebalanced.market_value:,.2f}[/bold]   "
            f"cash before [bold]{rebalanced.cash_before_rebalance:,.2f}[/bold]   "
            f"cash after [bold]{rebalanced.cash_after_rebalance:,.2f}[/bold]"
        )
        if console.width < NARROW:
            _list_trades(console, rebalanced, world)
        else:
            console.print(_trades(rebalanced, read_back, world))
    console.print()
    console.rule("[bold]How it was solved[/bold]", align="left")
    console.print(_solves(shown))


def _list_trades(console: Console, rebalanced: RebalanceDTO, world: World) -> None:
    """Print a line for each trade, for a terminal that is too narrow for a table."""
    for trade in rebalanced.transactions:
        ticker = world.by_id[trade.security_id].ticker
        console.print(f"{trade.transaction_type} {trade.quantity:,} {ticker} at {trade.price:,.2f}")


def _trades(rebalanced: RebalanceDTO, read_back: PortfolioResultDTO, world: World) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)  # 80 columns must do
    for heading in ("", "Ticker"):
        table.add_column(heading, no_wrap=True)
    for heading in ("Shares", "Price", "Value", "Before", "After", "Target", "Actual"):
        table.add_column(heading, justify="right", no_wrap=True)
    positions = {position.security_id: position for position in read_back.positions or ()}
    for trade in rebalanced.transactions:
        position = positions[trade.security_id]
        price = position.price or Decimal(0)
        color = "red" if trade.transaction_type == "SELL" else "green"
        table.add_row(
            f"[{color}]{trade.transaction_type}[/{color}]",
            world.by_id[trade.security_id].ticker,
            f"{trade.quantity:,}",
            f"{price:,.2f}",
            f"{price * trade.quantity:,.2f}",
            f"{position.original_quantity:,f}",
            f"{position.adjusted_quantity:,f}",
            f"{position.target:.2%}",
            f"{position.actual:.2%}",
        )
    return table


def _solves(shown: Shown) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("Portfolio", "Solved by", "Optimal"):
        table.add_column(heading, no_wrap=True)
    for heading in ("Gap", "Solver time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for portfolio in shown.stored:
        solve = portfolio.solve
        if solve is None:
            table.add_row(portfolio.portfolio_name, "-", "[red]failed[/red]", "-", "-")
            continue
        optimal = "[green]proven[/green]" if solve.gap == 0 else "[yellow]not proven[/yellow]"
        path = solve.path.lower().replace("_", " ")
        table.add_row(portfolio.portfolio_name, path, optimal, f"{solve.gap:f}", f"{solve.seconds * 1000:.2f} ms")
    return table


def _show_links(console: Console, stack: Stack, shown: Shown, log: Path) -> None:
    url = stack.service_url
    console.print(f"Pages        {url}/")
    console.print(f"Swagger UI   {url}/docs")
    console.print(f"Redoc        {url}/redoc")
    console.print(f"Service log  {log}")
    what = "[dim](faults, holdings and prices, under /control)[/dim]"
    console.print(f"Simulator    {stack.simulator.control}  {what}", soft_wrap=True)
    console.print("\nTo paste, for the commands of the README:")
    console.print(f"  export SERVICE={url}", soft_wrap=True)
    console.print("\nThe same rebalance again, at the prices of that moment:")
    console.print(f"  curl -X POST {url}/api/v1/model/{shown.model_id}/rebalance", soft_wrap=True)
