"""A random campaign: clients at work while upstreams fail and processes die, in rounds that end in a judgement."""

import asyncio
import contextlib
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from random import Random

import httpx
import psutil
from msgspec import Struct

from integrations.simulator import (
    Delay,
    ErrorStatus,
    Fault,
    Garbage,
    GarbageKind,
    Hang,
    HangMidBody,
    Refuse,
    Repeat,
    Reset,
    Service,
    SlowBody,
)
from tests.chaos.judge.asked import BROKEN, Asked
from tests.chaos.judge.caller import Caller, evenly
from tests.chaos.judge.market import Market
from tests.chaos.judge.oracle import Model
from tests.chaos.outsiders import (
    StoredDocument,
    insert,
    kill_operations,
    poor_clients,
    remove,
    strange_documents,
)
from tests.harness.simulator import SimulatorControl
from tests.harness.stack import RECOVERY_SECONDS, TIMEOUT_SECONDS, RunningService, Surroundings

SOLVERS = 2
SECURITIES = 40
SIZES = (1, 1, 3, 3, 12, 12, 40, 100)
"""Portfolios of each client's model."""
KEY_ATTEMPTS = 8


class Dangers(Struct, frozen=True):
    """How likely each of these is in a round: 0 to 1."""

    database: float = 0.5
    worker: float = 0.25
    documents: float = 0.8
    operations: float = 0.8
    clients: float = 0.8


class Campaign:
    """Rounds of chaos on one service.

    Attributes:
        done: how often each kind of process was killed, stopped or restarted, and how many faults were switched.
        judged: rebalances that were read back and found right.
        peak_megabytes: the most that all processes of the service held.
    """

    def __init__(
        self,
        around: Surroundings,
        service: RunningService,
        client: httpx.AsyncClient,
        control: SimulatorControl,
        market: Market,
        seed: int,
    ) -> None:
        self._around = around
        self._service = service
        self._market = market
        self._chance = Random(seed)
        self._control = control
        self._models: list[Model] = []
        self._unclear_keys: list[tuple[Model, str]] = []
        self._raging = False
        self._worker_starts = False
        self.caller = Caller(service.url, client, market)
        self.done: Counter[str] = Counter()
        self.judged = 0
        self.peak_megabytes = 0

    async def prepare(self) -> None:
        """Create a model for each client, of different sizes and bands."""
        self._securities = self._market.world.priced_security_ids()[:SECURITIES]
        first = 6000
        for size in SIZES:
            chosen = self._chance.sample(self._securities, self._chance.choice((5, 10, 20, 30)))
            drift = self._chance.choice(("0.005", "0.01", "0.03", "0.1"))
            portfolios = self._market.world.portfolio_ids(first, size)
            self._models.append(
                await self.caller.create_model(evenly(chosen, invested="0.95", drift=drift), portfolios)
            )
            first += size

    async def round(self, seconds: float, dangers: Dangers) -> None:
        """Let everything loose for a time; then heal it, and see that it is normal in time and that all was right."""
        portfolios = [each for model in self._models for each in model.portfolios]
        await self._market.move(self._control, self._chance, self._securities, portfolios)
        self._raging = True
        calm = threading.Event()
        strange = strange_documents(portfolios[:10], self._chance)
        if self._chance.random() >= dangers.documents:
            strange = []
        try:
            await self._rage(seconds, dangers, strange, calm)
        finally:
            # A thread that nobody stops would keep its connections, and the end of the tests would wait for it.
            calm.set()
        await self._control.heal()
        await self.caller.await_ready()
        await asyncio.to_thread(remove, self._around.mongod.url, strange)
        await self._clear_path()
        # A request that a fault held up may still time out now, and open a circuit once more.
        await self.caller.await_normal(self._models[-1], TIMEOUT_SECONDS + RECOVERY_SECONDS)
        self.judged += await self.caller.settle()
        await self._service.processes.await_solvers(SOLVERS)
        self.caller.judge.blamed.clear()

    async def _rage(
        self, seconds: float, dangers: Dangers, strange: Sequence[StoredDocument], calm: threading.Event
    ) -> None:
        async with asyncio.TaskGroup() as tasks:
            for model in self._models:
                tasks.create_task(self._client(model))
            tasks.create_task(self._spoil_upstreams())
            tasks.create_task(self._kill_solvers())
            tasks.create_task(self._watch_memory())
            if self._chance.random() < dangers.database:
                tasks.create_task(self._disturb_database(seconds))
            if self._chance.random() < dangers.worker:
                tasks.create_task(self._kill_worker(seconds))
            if self._chance.random() < dangers.operations:
                tasks.create_task(self._kill_operations())
            if self._chance.random() < dangers.clients:
                tasks.create_task(self._connect_poor_clients(calm))
            tasks.create_task(self._insert(strange))
            await asyncio.sleep(seconds)
            self._raging = False
            calm.set()
            # Calls under way need not wait for what hangs.
            await self._control.heal()

    async def settle_keys(self) -> int:
        """Ask again under every key whose request ended unclear, its lease being over; returns how many there were."""
        for model, key in self._unclear_keys:
            asked = await self.caller.rebalance(model, key=key)
            assert asked.final, f"a key is not free after its lease: {asked.status} {asked.code}"
        self.judged += await self.caller.settle()
        return len(self._unclear_keys)

    async def _clear_path(self) -> None:
        """Wait for solver processes that were stopped to be found out; a stopped process is no fault that has ended."""
        for process in self._service.processes.solvers():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

    async def _client(self, model: Model) -> None:
        while self._raging:
            kind = self._chance.random()
            if kind < 0.25:
                asked = await self._rebalance_under_key(model)
            elif kind < 0.5:
                asked = await self.caller.rebalance(model, self._chance.choice(model.portfolios))
            else:
                asked = await self.caller.rebalance(model)
            if asked.rebalance_id is not None and self._chance.random() < 0.3:
                await self.caller.read_again(asked.rebalance_id)
            if asked.status == BROKEN:
                await asyncio.sleep(0.5)
            await asyncio.sleep(self._chance.uniform(0, 0.1))

    async def _rebalance_under_key(self, model: Model) -> Asked:
        """Ask again under the same key until the response is final, as a careful client does; give up after a while."""
        key = f"key-{self._chance.getrandbits(64):016x}"
        asked = await self.caller.rebalance(model, key=key)
        for _ in range(KEY_ATTEMPTS):
            if asked.final:
                if self._chance.random() < 0.2:
                    again = await self.caller.rebalance(model, key=key)
                    same = (again.status, again.responses) == (asked.status, asked.responses)
                    # A database that goes away in between may not have been told that the first request has ended.
                    untold = again.code == "IDEMPOTENCY_IN_PROGRESS"
                    assert same or untold or again.unclear, f"{asked}, and under the same key {again}"
                return asked
            if not self._raging:
                break
            await asyncio.sleep(self._chance.uniform(0.05, 0.5))
            asked = await self.caller.rebalance(model, key=key)
        self._unclear_keys.append((model, key))
        return asked

    async def _spoil_upstreams(self) -> None:
        while self._raging:
            service = self._chance.choice(tuple(Service))
            if self._chance.random() < 0.3:
                await self._control.inject(service)
            else:
                self.caller.judge.blamed.add(service)
                await self._control.inject(service, *(self._fault() for _ in range(self._chance.choice((1, 1, 2)))))
                self.done["faults"] += 1
            await asyncio.sleep(self._chance.uniform(0.1, 1.0))

    def _fault(self) -> Fault:
        chance = self._chance
        rate = chance.choice((0.05, 0.2, 0.5, 1.0))
        calls, pause = chance.choice(((None, 0), (None, 0), (1, 3), (3, 10), (6, 6)))
        match chance.choice(
            ("delay", "status", "hang", "half", "slow", "repeat", "reset", "half reset", "garbage", "refuse")
        ):
            case "delay":
                return Delay(seconds=0, up_to=chance.choice((0.1, 0.5, 2.0)), rate=rate)
            case "status":
                status = chance.choice((302, 400, 404, 429, 500, 502, 503, 504))
                retry_after = chance.choice((None, 1, 60, "soon"))
                return ErrorStatus(status=status, retry_after=retry_after, rate=rate, calls=calls, pause=pause)
            case "hang":
                return Hang(rate=rate, calls=calls, pause=pause)
            case "half":
                return HangMidBody(rate=rate, calls=calls, pause=pause)
            case "slow":
                return SlowBody(bytes_per_second=chance.choice((50, 1_000, 1_000_000)), rate=rate)
            case "reset":
                return Reset(rate=rate, calls=calls, pause=pause)
            case "half reset":
                return Reset(mid_body=True, rate=rate, calls=calls, pause=pause)
            case "repeat":
                return Repeat(seconds=chance.choice((0.001, 0.05, 0.5)), rate=rate)
            case "refuse":
                return Refuse()
            case _:
                kind = chance.choice(tuple(GarbageKind))
                rate = min(rate, 0.2) if kind is GarbageKind.MILLION_ROWS else rate
                return Garbage(kind=kind, rate=rate, calls=calls, pause=pause)

    async def _kill_solvers(self) -> None:
        while self._raging:
            await asyncio.sleep(self._chance.uniform(0.2, 1.5))
            if self._worker_starts:
                continue
            processes = self._service.processes
            kind = self._chance.random()
            self.caller.judge.blamed.add("solvers")
            with contextlib.suppress(psutil.NoSuchProcess):
                if kind < 0.05:
                    fork_server = processes.fork_server()
                    if fork_server is not None:
                        fork_server.kill()
                        self.done["fork servers killed"] += 1
                elif kind < 0.2:
                    self.done["solvers stopped"] += processes.signal_solvers(signal.SIGSTOP, 1)
                else:
                    count = self._chance.choice((1, 1, 2))
                    self.done["solvers killed"] += processes.signal_solvers(signal.SIGKILL, count)

    async def _disturb_database(self, seconds: float) -> None:
        mongod = self._around.mongod
        await asyncio.sleep(self._chance.uniform(0, seconds / 2))
        self.caller.judge.blamed.add("database")
        away = self._chance.uniform(0.1, seconds / 4)
        if self._chance.random() < 0.5:
            await asyncio.to_thread(mongod.kill)
            await asyncio.sleep(away)
            await asyncio.to_thread(mongod.restart)
            self.done["databases killed and restarted"] += 1
        else:
            mongod.freeze()
            await asyncio.sleep(away)
            mongod.thaw()
            self.done["databases frozen"] += 1

    async def _insert(self, documents: Sequence[StoredDocument]) -> None:
        self.done["foreign documents"] += await asyncio.to_thread(insert, self._around.mongod.url, documents)

    async def _kill_operations(self) -> None:
        self.caller.judge.blamed.add("database")
        while self._raging:
            self.done["database operations killed"] += await asyncio.to_thread(kill_operations, self._around.mongod.url)
            await asyncio.sleep(self._chance.uniform(0.01, 0.2))

    async def _connect_poor_clients(self, calm: threading.Event) -> None:
        chance = Random(self._chance.random())
        self.done["silent and slow clients"] += await asyncio.to_thread(poor_clients, self._service.url, chance, calm)

    async def _kill_worker(self, seconds: float) -> None:
        await asyncio.sleep(self._chance.uniform(0, seconds / 2))
        self.caller.judge.blamed |= {"worker", "solvers"}
        with contextlib.suppress(psutil.NoSuchProcess):
            self._service.processes.worker().kill()
            self.done["workers killed"] += 1
            # Three kills in a row while a pool opens end the server, for its cluster to start it anew.
            self._worker_starts = True
            await self.caller.await_live()
            self._worker_starts = False

    async def _watch_memory(self) -> None:
        while self._raging:
            megabytes = await asyncio.to_thread(self._service.processes.megabytes)
            self.peak_megabytes = max(self.peak_megabytes, megabytes)
            await asyncio.sleep(0.25)


async def await_no_sockets(service: RunningService, around: Surroundings, within_seconds: float) -> None:
    """Wait until the worker holds no connection to any upstream, which kept-alive ones do for a while.

    Raises:
        AssertionError: some stay.
    """
    until = time.monotonic() + within_seconds
    while left := service.processes.sockets(around.upstream_ports):
        assert time.monotonic() < until, f"sockets that nobody needs: {left}"
        await asyncio.sleep(0.5)
