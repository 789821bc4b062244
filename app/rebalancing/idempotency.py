"""Idempotency keys: a repeated request receives the stored response, and nothing is rebalanced twice."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

from bson import ObjectId
from msgspec import Struct

from app.errors import translation
from app.errors.codes import InvalidField
from app.http.dialect import Dialect
from app.http.headers import IDEMPOTENCY_KEY
from app.rebalancing.body import ResponseBody
from app.rebalancing.rebalance import Rebalanced
from app.solver_task.schemas import portfolio_json
from persistence import AlreadyStored, Claimed, Database, DatabaseUnavailable, RebalanceNotFound

KEY_PATTERN = r"^[\x21-\x7e]{1,255}$"
_WELL_FORMED = re.compile(KEY_PATTERN[1:-1])


class Attempt(Struct):
    """One attempt at a rebalance that is to be done once.

    Attributes:
        rebalance_id: the id to store it under.
        replayed: what an earlier request under the same key stored; then there is nothing to do.
        rebalanced: set by the attempt; None if there was nothing to do and nothing was stored.
    """

    rebalance_id: ObjectId
    replayed: Rebalanced | None = None
    rebalanced: Rebalanced | None = None


@asynccontextmanager
async def attempt(database: Database, key: str | None, target: str, dialect: Dialect) -> AsyncIterator[Attempt]:
    """Protect the block by a key: yield what is stored under it, or an attempt whose result is stored under it.

    A rebalance that failed because of a dependency does not use up its key, so that the caller can retry under it.

    Args:
        database: stores the keys.
        key: the caller's, None for no protection.
        target: what is rebalanced, and by which rules; a key serves one target.
        dialect: of a replayed response.

    Raises:
        InvalidField: the key is malformed.
        persistence.KeyInProgress: the first request is still running.
        persistence.KeyReused: the key was used on another target.
    """
    if key is None:
        yield Attempt(ObjectId())
        return
    if not _WELL_FORMED.fullmatch(key):
        raise InvalidField(IDEMPOTENCY_KEY, "must be 1 to 255 visible ASCII characters")
    claim = await database.idempotency.claim(key, target, ObjectId())
    while isinstance(claim, AlreadyStored):
        stored = await _stored(database, claim.rebalance_id, dialect)
        if not _retryable(stored):
            yield Attempt(claim.rebalance_id, replayed=stored)
            return
        # Its server died before it could release the key.
        stored.body.close()
        await database.idempotency.release(Claimed(key, claim.rebalance_id))
        claim = await database.idempotency.claim(key, target, ObjectId())
    this = Attempt(claim.rebalance_id)
    try:
        yield this
    except DatabaseUnavailable:
        await _settle(database, claim, may_still_be_stored=True)
        raise
    except BaseException:
        await _settle(database, claim)
        raise
    # If the key cannot be settled now, the next request under it after its lease decides by what is stored.
    with suppress(DatabaseUnavailable):
        if this.rebalanced is None or _retryable(this.rebalanced):
            await database.idempotency.release(claim)
        else:
            await database.idempotency.complete(claim)


async def _stored(database: Database, rebalance_id: ObjectId, dialect: Dialect) -> Rebalanced:
    header = await database.rebalances.get(rebalance_id)
    with ResponseBody() as body:
        rebalanced = Rebalanced(header, [], body)
        async for portfolio in database.rebalances.portfolios(header):
            body.add(portfolio.place, portfolio_json(portfolio, dialect))
            if portfolio.failure:
                rebalanced.failures.append((portfolio.portfolio_id, portfolio.failure))
    return rebalanced


async def _settle(database: Database, claim: Claimed, *, may_still_be_stored: bool = False) -> None:
    """Release the key of work that failed, unless its rebalance was stored before the failure."""
    with suppress(DatabaseUnavailable):
        if may_still_be_stored:
            # A write without a response in time may still be on its way; with a retry there would be two rebalances.
            await database.rebalances.abandon(claim.rebalance_id)
        try:
            await database.rebalances.get(claim.rebalance_id)
        except RebalanceNotFound:
            await database.idempotency.release(claim)
        else:
            await database.idempotency.complete(claim)


def _retryable(rebalanced: Rebalanced) -> bool:
    if not rebalanced.all_failed:
        return False
    error = translation.from_failures(rebalanced.failures, str(rebalanced.header.id))
    return error.status is HTTPStatus.SERVICE_UNAVAILABLE
