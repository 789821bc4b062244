"""Share one round trip between the calls that arrive while another is under way.

Without it, single rebalances of 32 clients take 1.68 times as long. docs/architecture.md (Decisions) has the
measurement, and when this module can be removed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from typing import Final

from msgspec import Struct

from persistence.errors import DatabaseUnavailable

_LARGEST: Final = 50


class _Waiting[Item, Result](Struct, frozen=True):
    """A call that has not been made yet, and the context of its caller, whose trace shows the round trip."""

    item: Item
    outcome: asyncio.Future[Result]
    context: Context


class Batching[Item, Result]:
    """A function of one item, built from a function of many items.

    A single call is made at once. Calls that arrive while one is under way wait for it and are then made together. No
    call joins a round trip that began before it, so a read sees every write that was acknowledged before the read was
    requested. A call that is cancelled before its turn is not made; one that is under way runs to its end.
    """

    def __init__(self, together: Callable[[list[Item]], Awaitable[Sequence[Result | Exception]]]) -> None:
        """Build the function of one item.

        Args:
            together: makes up to 50 calls at once and returns, in their order, the result of each or the exception it
                raises. An exception of `together` itself is raised by each of the calls; DatabaseUnavailable also by
                those that wait.
        """
        self._together = together
        self._waiting: list[_Waiting[Item, Result]] = []
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Result:
        """Return the result for one item."""
        outcome: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(item, outcome, copy_context()))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await outcome

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_LARGEST], self._waiting[_LARGEST:]
                batch = [each for each in batch if not each.outcome.done()]
                if batch:
                    await asyncio.create_task(self._make(batch), context=batch[0].context)
        finally:
            self._running = None

    async def _make(self, batch: Sequence[_Waiting[Item, Result]]) -> None:
        try:
            results = await self._together([each.item for each in batch])
        except DatabaseUnavailable as error:
            # Those that wait have waited as long as a call may take; trying again would take them as long once more.
            batch, self._waiting = [*batch, *self._waiting], []
            results = [error] * len(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is for the callers, who all wait for it
            results = [error] * len(batch)
        for each, result in zip(batch, results, strict=True):
            if each.outcome.done():
                continue
            if isinstance(result, Exception):
                each.outcome.set_exception(result)
            else:
                each.outcome.set_result(result)
