"""A cache that loads missing entries, each key once at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from weakref import WeakValueDictionary

from cachetools import TTLCache
from msgspec import Struct

from integrations.http.client import ServiceClient
from integrations.http.errors import Cause, ServiceError


class _Entry[V](Struct, frozen=True):
    """A loaded value, which may be None."""

    value: V


class LoadingCache[K: Hashable, V]:
    """Keeps loaded values for a time, in this process's memory.

    Concurrent callers of one key wait for one load. They queue instead of sharing the load itself: if it fails or its
    caller is cancelled, the next in the queue loads with its own deadline, so that no caller fails because of another
    caller's deadline. If the service is down this is quick, because its circuit breaker is open by then.

    Args:
        name: the cache's name in metrics.
        client: of the service that loads an entry; its observer counts hits and misses.
        max_entries: beyond this number, the oldest entries are removed.
        ttl_seconds: how long an entry is used; 0 disables the cache, including the queue.
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
        """Return the cached value, or load it.

        Raises:
            ServiceError: from `load`, or `DEADLINE` if it passes while another caller loads.
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
