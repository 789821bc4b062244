"""A cache that loads what it lacks, each key once at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from weakref import WeakValueDictionary

from cachetools import TTLCache
from msgspec import Struct

from integrations.http.client import ServiceClient
from integrations.http.errors import Cause, ServiceError


class _Entry[V](Struct, frozen=True):
    """A value that was loaded; None is one, too."""

    value: V


class LoadingCache[K: Hashable, V]:
    """Keeps loaded values for a time, in this process's memory, so that it cannot be down.

    Concurrent callers of one key wait for one load. They queue rather than share the load itself: when it fails or its
    caller is cancelled, the next in the queue loads with a deadline of its own, so that nobody fails for another's lack
    of time. Against a service that is down that is quick, because its circuit breaker is open by then.

    Args:
        name: the cache's name in metrics.
        client: of the service asked on a miss; its observer is told of hits and misses.
        max_entries: entries beyond it push out the oldest.
        ttl_seconds: how long an entry is good for; 0 turns the cache off, the queue included.
        clock: seconds, for the entries' age.
        keep: whether a loaded value may be kept; None keeps all.
    """

    def __init__(
        self,
        name: str,
        client: ServiceClient,
        *,
        max_entries: float,
        ttl_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        keep: Callable[[V], bool] | None = None,
    ) -> None:
        self._keep = keep
        self._name = name
        self._client = client
        self._off = ttl_seconds == 0
        self._entries: TTLCache[K, _Entry[V]] = TTLCache(max_entries, ttl_seconds, timer=clock)
        self._queues: WeakValueDictionary[K, asyncio.Lock] = WeakValueDictionary()

    async def get(self, key: K, load: Callable[[], Awaitable[V]], *, deadline: float | None) -> V:
        """The cached value, or the loaded one.

        Raises:
            ServiceError: as `load` raises it, or `DEADLINE` when it passes while another caller loads.
        """
        if self._off:
            return await load()
        entry = self._entries.get(key)
        if entry is not None:
            self._client.observer.cache_read(self._name, hit=True)
            return entry.value
        queue = self._queues.setdefault(key, asyncio.Lock())
        await self._enter(queue, deadline)
        try:
            entry = self._entries.get(key)
            self._client.observer.cache_read(self._name, hit=entry is not None)
            if entry is None:
                entry = _Entry(await load())
                if self._keep is None or self._keep(entry.value):
                    self._entries[key] = entry
            return entry.value
        finally:
            queue.release()

    async def _enter(self, queue: asyncio.Lock, deadline: float | None) -> None:
        left = None if deadline is None else deadline - time.monotonic()
        try:
            async with asyncio.timeout(left):
                await queue.acquire()
        except TimeoutError:
            reason = "no response before the request's deadline, in the queue behind another request"
            raise ServiceError(self._client.name, Cause.DEADLINE, reason, sent=False) from None
