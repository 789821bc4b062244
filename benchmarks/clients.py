"""Clients that call a service: in turn, many at once, or at a steady pace."""

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import count, cycle

import aiohttp
from msgspec import Struct

from benchmarks.latencies import Latencies, latencies
from benchmarks.processes import started_cpu_seconds

CLIENTS = 32
TURN_SECONDS = 3.0
RESPONSE_SECONDS = 300


class Call(Struct, frozen=True):
    """A request without a body."""

    method: str
    url: str


class Turn(Struct, frozen=True):
    """What many clients did for a while: returned calls, failed ones, and seconds of each that was returned."""

    completed: int
    failed: int
    seconds: list[float]


class Cost(Struct, frozen=True):
    """What one call takes.

    Attributes:
        seconds: by the clock, as a median; of many clients' calls, the time in which one more is returned.
        cpu: seconds of processors, in all processes that have to do with it but this one.
    """

    seconds: float
    cpu: float


def client_session(connections: int = CLIENTS) -> aiohttp.ClientSession:
    """Open a session with one connection for each client."""
    return aiohttp.ClientSession(
        # Both sides of a comparison send the same bytes.
        headers={"Accept-Encoding": "identity"},
        connector=aiohttp.TCPConnector(limit=connections),
        timeout=aiohttp.ClientTimeout(RESPONSE_SECONDS),
    )


async def timed(session: aiohttp.ClientSession, call: Call) -> tuple[float, bytes]:
    """Send a request; return its seconds and the response.

    Raises:
        aiohttp.ClientResponseError: it is no success.
    """
    started = time.perf_counter()
    async with session.request(call.method, call.url) as response:
        body = await response.read()
        response.raise_for_status()
    return time.perf_counter() - started, body


async def drained(session: aiohttp.ClientSession, call: Call) -> None:
    """Send a request and discard the body as it arrives: assembling a large one would delay timed requests.

    Raises:
        aiohttp.ClientResponseError: it is no success.
    """
    async with session.request(call.method, call.url) as response:
        response.raise_for_status()
        async for _ in response.content.iter_any():
            pass


async def take_turns(rounds: int, *calls: Call) -> tuple[list[Cost], int]:
    """Send requests in turn, round after round; return each one's times, and the number of failed portfolios."""
    seconds: list[list[float]] = [[] for _ in calls]
    cpu = [0.0 for _ in calls]
    failed = 0
    async with client_session() as session:
        for turn in range(rounds + 1):
            for place, call in enumerate(calls):
                before = started_cpu_seconds()
                taken, response = await timed(session, call)
                failed += response.count(b'"status":"FAILED"')
                if turn:  # the first warms up
                    seconds[place].append(taken)
                    cpu[place] += started_cpu_seconds() - before
    return [Cost(statistics.median(each), spent / rounds) for each, spent in zip(seconds, cpu, strict=True)], failed


async def compete(rounds: int, *sides: Sequence[Call]) -> tuple[list[Cost], int]:
    """Send the calls of each side from many clients for a while, in turns.

    Returns:
        What a call of each side takes, and the number of failed calls.
    """
    rates: list[list[float]] = [[] for _ in sides]
    cpu = [0.0 for _ in sides]
    completed = [0 for _ in sides]
    failed = 0
    async with client_session() as session:
        for turn in range(rounds + 1):
            for place, calls in enumerate(sides):
                before = started_cpu_seconds()
                done = await storm(session, calls)
                if turn:
                    rates[place].append(done.completed / TURN_SECONDS)
                    cpu[place] += started_cpu_seconds() - before
                    completed[place] += done.completed
                    failed += done.failed
    spent = [seconds / number for seconds, number in zip(cpu, completed, strict=True)]
    return [Cost(1 / statistics.median(each), one) for each, one in zip(rates, spent, strict=True)], failed


async def storm(
    session: aiohttp.ClientSession, calls: Sequence[Call], clients: int = CLIENTS, seconds: float = TURN_SECONDS
) -> Turn:
    """Send requests from many clients as fast as responses arrive; each client sends the next of the calls."""
    waiting = cycle(calls)
    until = time.perf_counter() + seconds
    taken: list[float] = []
    failed = 0

    async def client() -> None:
        nonlocal failed
        while time.perf_counter() < until:
            try:
                taken.append((await timed(session, next(waiting)))[0])
            except aiohttp.ClientError:
                failed += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return Turn(len(taken), failed, taken)


async def pace(session: aiohttp.ClientSession, call: Call, every: float, ended: Callable[[], bool]) -> Turn:
    """Send a request at a fixed interval until stopped, without waiting for earlier responses."""
    taken: list[float] = []
    failed = 0

    async def one() -> None:
        nonlocal failed
        try:
            taken.append((await timed(session, call))[0])
        except aiohttp.ClientError:
            failed += 1

    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in count():
            await asyncio.sleep(began + number * every - loop.time())
            if ended():
                break
            group.create_task(one())
    return Turn(len(taken), failed, taken)


def summed_up(turns: Sequence[Turn]) -> Latencies:
    """Combine the latencies of several turns."""
    return latencies([each for turn in turns for each in turn.seconds], sum(turn.failed for turn in turns))
