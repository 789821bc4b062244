"""Idempotency keys: which request owns a key, and which rebalance is its result.

The owner's token is the id of the rebalance that it will store. A key whose owner died is therefore resolved by what is
in the database: if that rebalance exists, it is the result; if not, it is abandoned permanently before another request
may start.
"""

from datetime import UTC, datetime, timedelta

from bson import ObjectId
from msgspec import Struct
from pymongo.errors import DuplicateKeyError, WriteConcernError

from persistence.access import Access, confirmed
from persistence.clocks import CLOCK_TOLERANCE
from persistence.errors import DocumentUnreadable, KeyInProgress, KeyReused, RebalanceNotFound
from persistence.indexes import IDEMPOTENCY_KEYS
from persistence.rebalances.repository import RebalanceRepository
from persistence.unreadable import UnreadableDocuments


class Claimed(Struct, frozen=True):
    """The key is the caller's: do the work, store it under `rebalance_id`, then `complete` or `release`."""

    key: str
    rebalance_id: ObjectId


class AlreadyStored(Struct, frozen=True):
    """The work was done before, and this rebalance is its result."""

    rebalance_id: ObjectId


class IdempotencyRepository:
    """Collection `idempotency_keys`; a key is forgotten 24 hours after its first use.

    Every method raises DatabaseUnavailable if the database fails.
    """

    def __init__(
        self, access: Access, rebalances: RebalanceRepository, unreadable: UnreadableDocuments, lease: timedelta
    ) -> None:
        self._access = access
        self._unreadable = unreadable
        self._keys = access.database[IDEMPOTENCY_KEYS]
        self._rebalances = rebalances
        self._lease = lease

    async def claim(self, key: str, target: str, rebalance_id: ObjectId) -> Claimed | AlreadyStored:
        """Claim the key for one request on one target; of many concurrent requests exactly one succeeds.

        Args:
            key: the client's.
            target: what the request is about, such as `model/6840…`.
            rebalance_id: the id under which the caller would store its rebalance.

        Raises:
            KeyInProgress: another request holds it.
            KeyReused: it was first used on another target.
        """
        now = datetime.now(UTC)
        lease_until = now + self._lease

        async def is_made() -> bool:
            return await self._keys.find_one({"_id": key, "rebalanceId": rebalance_id}, {"_id": True}) is not None

        async with self._access():
            try:
                await self._keys.insert_one(
                    {
                        "_id": key,
                        "target": target,
                        "rebalanceId": rebalance_id,
                        "leaseUntil": lease_until,
                        "createdAt": now,
                    }
                )
            except DuplicateKeyError:
                return await self._judge(key, target, rebalance_id)
            except WriteConcernError as error:
                if not await confirmed(error, is_made):
                    raise
        return Claimed(key, rebalance_id)

    async def complete(self, claim: Claimed) -> None:
        """Record the stored rebalance as the result of the key."""
        async with self._access():
            await self._keys.update_one(
                {"_id": claim.key, "rebalanceId": claim.rebalance_id}, {"$unset": {"leaseUntil": ""}}
            )

    async def release(self, claim: Claimed) -> None:
        """Release the key: nothing was stored, and a retry may start at once."""
        async with self._access():
            await self._keys.delete_one({"_id": claim.key, "rebalanceId": claim.rebalance_id})

    async def _judge(self, key: str, target: str, rebalance_id: ObjectId) -> Claimed | AlreadyStored:
        """Decide about a key that exists."""
        found = await self._keys.find_one({"_id": key})
        if found is None:  # released or forgotten in this very moment
            return await self.claim(key, target, rebalance_id)
        former, lease_until = found.get("rebalanceId"), found.get("leaseUntil")
        if not isinstance(former, ObjectId) or not isinstance(lease_until, datetime | None):
            self._unreadable.report(IDEMPOTENCY_KEYS, key, "not in this service's format")
            raise DocumentUnreadable("idempotency key", key)
        if found.get("target") != target:
            raise KeyReused(str(found.get("target")))
        if lease_until is None:
            return AlreadyStored(former)
        now = datetime.now(UTC)
        # A lease that ends later than one that begins now was written by a clock that was ahead, and says nothing.
        if now < lease_until <= now + self._lease + CLOCK_TOLERANCE:
            raise KeyInProgress(lease_until)
        return await self._take_over(key, target, rebalance_id, former)

    async def _take_over(
        self, key: str, target: str, rebalance_id: ObjectId, former: ObjectId
    ) -> Claimed | AlreadyStored:
        await self._rebalances.abandon(former)
        try:
            await self._rebalances.get(former)
        except RebalanceNotFound:
            pass
        else:
            await self.complete(Claimed(key, former))
            return AlreadyStored(former)
        taken = await self._keys.update_one(
            {"_id": key, "rebalanceId": former, "leaseUntil": {"$exists": True}},
            {"$set": {"rebalanceId": rebalance_id, "leaseUntil": datetime.now(UTC) + self._lease}},
        )
        if taken.matched_count == 0:
            return await self._judge(key, target, rebalance_id)
        return Claimed(key, rebalance_id)
