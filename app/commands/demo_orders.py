"""The orders of the demo: sent, sent again, and counted in the simulated Order Service itself."""

import asyncio
from typing import Final

import aiohttp
import msgspec
from msgspec import Struct
from rich import box
from rich.console import Console
from rich.table import Table

from app.commands.stack import Stack, StackFailed
from app.http.dialect import Dialect
from app.orders.schemas import OrderSubmissionDTO

_POLL_SECONDS: Final = 0.5


class Sending(Struct, frozen=True):
    """The result of one call once every order has an outcome, and how many orders the Order Service has then."""

    result: OrderSubmissionDTO
    in_order_service: int


async def send_twice(stack: Stack, rebalance_id: str, dialect: Dialect) -> tuple[Sending, Sending]:
    """Send the orders of a rebalance twice, as a caller would who does not know whether the first call succeeded.

    Raises:
        StackFailed: the service rejected a call.
    """
    url = f"{stack.service_url}/api/v1/rebalance/{rebalance_id}/orders"
    async with aiohttp.ClientSession() as client:

        async def call(method: str) -> OrderSubmissionDTO:
            async with client.request(method, url) as response:
                body = await response.read()
                if not response.ok:
                    raise StackFailed(f"The service returned {response.status}: {body.decode()}")
            spelled = msgspec.json.decode(body, type=dialect.type_of(OrderSubmissionDTO))
            return dialect.understand(spelled, OrderSubmissionDTO)

        async def send() -> Sending:
            result = await call("POST")
            while result.status == "PENDING":
                await asyncio.sleep(_POLL_SECONDS)
                result = await call("GET")
            async with client.get(f"{stack.simulator.control}/control/orders") as response:
                created = msgspec.json.decode(await response.read(), type=list[dict[str, object]])
            return Sending(result, len(created))

        return await send(), await send()


def show_orders(console: Console, sent: tuple[Sending, Sending]) -> None:
    """Show both calls beside each other."""
    console.print()
    console.rule("[bold]Orders[/bold]", align="left")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("Call", "Status"):
        table.add_column(heading, no_wrap=True)
    for heading in ("Requested", "Created", "In the Order Service"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, each in zip(("first", "second"), sent, strict=True):
        result = each.result
        table.add_row(name, result.status, f"{result.total:,}", f"{result.created:,}", f"{each.in_order_service:,}")
    console.print(table)
    new = sent[1].in_order_service - sent[0].in_order_service
    console.print("The second call sent nothing." if new == 0 else f"The second call sent {new} orders more.")
