"""Idempotency keys: the same request again gets the stored answer, and nothing is rebalanced twice."""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus

from bson import ObjectId

from app.errors import translation
from app.errors.codes import InvalidField, OrderGenerationError
from app.http.dialect import Dialect
from app.http.headers import IDEMPOTENCY_KEY
from app.rebalancing.body import Answers
from app.rebalancing.rebalance import Rebalanced
from app.solver_task.schemas import answer_of
from persistence import Answered, Claimed, Database, DatabaseUnavailable, RebalanceNotFound

KEY_PATTERN = r"^[\x21-\x7e]{1,255}$"
_WELL_FORMED = re.compile(KEY_PATTERN[1:-1])

type Work = Callable[[ObjectId], Awaitable[Rebalanced | None]]
"""Rebalances under a given id; None where there was nothing to do and nothing was stored."""


async def once(database: Database, key: str | None, target: str, dialect: Dialect, work: Work) -> Rebalanced | None:
    """Do the work, or give what it stored when it was done under the same key.

    A rebalance that failed because a neighbour was away is answered but does not use up its key: a retry is what
    the key is for.

    Args:
        database: where keys are kept.
        key: the caller's, None for no protection.
        target: what the request is about; a key serves one target.
        dialect: of a repeated answer.
        work: what to do.

    Raises:
        InvalidField: the key is malformed.
        persistence.errors.KeyInProgress: the first request is still running.
        persistence.errors.KeyReused: the key was used on another target.
    """
    if key is None:
        return await work(ObjectId())
    if not _WELL_FORMED.fullmatch(key):
        raise InvalidField(IDEMPOTENCY_KEY, "must be 1 to 255 visible ASCII characters")
    claim = await database.idempotency.claim(key, target, ObjectId())
    if isinstance(claim, Answered):
        stored = await _stored(database, claim.rebalance_id, dialect)
        if not _mendable(stored):
            return stored
        # Its server died before it could release the key.
        stored.answers.close()
        await database.idempotency.release(Claimed(key, claim.rebalance_id))
        return await once(database, key, target, dialect, work)
    try:
        rebalanced = await work(claim.rebalance_id)
    except DatabaseUnavailable:
        await _settle(database, claim, may_still_be_stored=True)
        raise
    except BaseException:
        await _settle(database, claim)
        raise
    # Where the key cannot be settled now, whoever uses it after its lease judges it by what is stored.
    with suppress(DatabaseUnavailable):
        if rebalanced is None or _mendable(rebalanced):
            await database.idempotency.release(claim)
        else:
            await database.idempotency.complete(claim)
    return rebalanced


async def _stored(database: Database, rebalance_id: ObjectId, dialect: Dialect) -> Rebalanced:
    header = await database.rebalances.get(rebalance_id)
    rebalanced = Rebalanced(header, [], Answers())
    try:
        async for portfolio in database.rebalances.portfolios(header):
            rebalanced.answers.add(portfolio.place, answer_of(portfolio, dialect))
            if portfolio.failure:
                rebalanced.failures.append((portfolio.portfolio_id, portfolio.failure))
    except BaseException:
        rebalanced.answers.close()
        raise
    return rebalanced


async def _settle(database: Database, claim: Claimed, *, may_still_be_stored: bool = False) -> None:
    """Free the key of work that failed, unless its rebalance was stored before the failure."""
    with suppress(DatabaseUnavailable):
        if may_still_be_stored:
            # A write that was not answered in time may be on its way; beside a retry it would be a second rebalance.
            await database.rebalances.abandon(claim.rebalance_id)
        try:
            await database.rebalances.get(claim.rebalance_id)
        except RebalanceNotFound:
            await database.idempotency.release(claim)
        else:
            await database.idempotency.complete(claim)


def all_failed(rebalanced: Rebalanced) -> OrderGenerationError | None:
    """Tell that every portfolio failed; None where one completed."""
    header = rebalanced.header
    return translation.of_all(rebalanced.failures, header.number_of_portfolios, str(header.id))


def _mendable(rebalanced: Rebalanced) -> bool:
    error = all_failed(rebalanced)
    return error is not None and error.status is HTTPStatus.SERVICE_UNAVAILABLE
