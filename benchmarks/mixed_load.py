"""Everything callers do, all at once, without leaving anything behind: the load of the soak."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec

from app.commands.stack import Stack
from benchmarks.clients import client_session
from benchmarks.models import Size, create_model, model_body, rebalance_url, single_rebalance_url

SINGLE, LARGE = Size(1, 50), Size(100, 10)
SINGLE_CLIENTS = READERS = 4
UNREAD = 20
"""Rebalances that may wait to be read and deleted; more hold up the clients that make them."""
MODEL_PAUSE_SECONDS = 0.2
PAGE = 5


class MixedLoad:
    """Clients that rebalance, change models, read the history and delete what they have read.

    Attributes:
        completed: completed calls, by kind.
        failures: what went wrong, in words.
    """

    def __init__(self, stack: Stack) -> None:
        self.completed: Counter[str] = Counter()
        self.failures: list[str] = []
        self._url = f"{stack.service_url}/api/v1"
        self._single = single_rebalance_url(stack, create_model(stack, SINGLE))
        self._large = rebalance_url(stack, create_model(stack, LARGE))
        self._made: asyncio.Queue[str] = asyncio.Queue(UNREAD)

    async def run(self, seconds: float) -> None:
        """Keep it up for so long."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        async with client_session() as session:

            async def repeat(work: Callable[[aiohttp.ClientSession], Awaitable[None]]) -> None:
                while loop.time() < until:
                    try:
                        await work(session)
                    except aiohttp.ClientError as error:
                        self.failures.append(f"{work.__name__}: {error!r}")

            readers = [asyncio.create_task(self._read_and_delete(session)) for _ in range(READERS)]
            async with asyncio.TaskGroup() as clients:
                for work in (*[self._rebalance_one] * SINGLE_CLIENTS, self._rebalance_many, self._change_models):
                    clients.create_task(repeat(work))
            await self._made.join()
            for reader in readers:
                reader.cancel()

    async def _rebalance_one(self, session: aiohttp.ClientSession) -> None:
        response = await self._call(session, "single rebalance", "POST", self._single)
        await self._made.put(response["rebalanceId"])

    async def _rebalance_many(self, session: aiohttp.ClientSession) -> None:
        response = await self._call(session, f"rebalance of {LARGE}", "POST", self._large)
        await self._made.put(response[0]["rebalanceId"])

    async def _change_models(self, session: aiohttp.ClientSession) -> None:
        body = model_body(SINGLE)
        model = await self._call(session, "model created", "POST", f"{self._url}/models", json=body)
        path = f"{self._url}/model/{model['modelId']}"
        changed = {**body, "name": f"{body['name']} again", "version": model["version"]}
        model = await self._call(session, "model changed", "PUT", path, json=changed)
        await self._call(session, "models listed", "GET", f"{self._url}/models?limit={PAGE}")
        await self._call(session, "model deleted", "DELETE", f"{path}?version={model['version']}")
        await asyncio.sleep(MODEL_PAUSE_SECONDS)

    async def _read_and_delete(self, session: aiohttp.ClientSession) -> None:
        while True:
            rebalance_id = await self._made.get()
            path = f"{self._url}/rebalance/{rebalance_id}"
            try:
                await self._call(
                    session, "page of the history", "GET", f"{self._url}/rebalances?limit={PAGE}&view=summary"
                )
                found = await self._call(session, "rebalance read", "GET", path)
                await self._call(session, "rebalance deleted", "DELETE", f"{path}?version={found['version']}")
            except aiohttp.ClientError as error:
                self.failures.append(f"history: {error!r}")
            finally:
                self._made.task_done()

    async def _call(self, session: aiohttp.ClientSession, what: str, method: str, url: str, json: object = None) -> Any:
        async with session.request(method, url, json=json) as response:
            body = await response.read()
            response.raise_for_status()
        self.completed[what] += 1
        return msgspec.json.decode(body) if body else None
