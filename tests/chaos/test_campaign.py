"""Everything at once, at random: a short campaign always, a long one on request.

    CHAOS_SECONDS=600 ./run test -m slow -s tests/chaos/test_campaign.py

Both print the seed; CHAOS_SEED=N repeats the choices of a campaign, though not what the machine made of them.
"""

import asyncio
import os
import time
from datetime import timedelta
from random import SystemRandom

import httpx
import pytest
from pymongo import MongoClient

from integrations import KEEP_ALIVE_SECONDS
from persistence import open_database
from tests.chaos.campaign import Campaign, Dangers, await_no_sockets
from tests.chaos.judge.market import Market
from tests.chaos.test_memory import POD_MEGABYTES
from tests.harness.simulator import SimulatorControl
from tests.harness.stack import DATABASE_NAME, IMPATIENT, Surroundings, serving

WITH_PATIENCE = {
    **IMPATIENT,
    "PORTFOLIO_ACCOUNTING_SERVICE_TIMEOUT_SECONDS": "3",
    "PRICING_SERVICE_TIMEOUT_SECONDS": "3",
    "SECURITY_SERVICE_TIMEOUT_SECONDS": "3",
}
"""On a machine that is busy with the campaign and much else, a healthy upstream may need more than a second."""
LONG_SECONDS = float(os.environ.get("CHAOS_SECONDS", "300"))
ROUND_SECONDS = 12
LEASE_SECONDS = 45
"""After which a request that has died holds no idempotency key any more: the deadline, half a minute, a margin."""


def chosen_seed() -> int:
    return int(os.environ.get("CHAOS_SEED") or SystemRandom().randrange(10**6))


async def test_a_short_campaign(
    around: Surroundings, client: httpx.AsyncClient, control: SimulatorControl, market: Market
) -> None:
    """Faulty upstreams, killed solvers and a database that goes away together spoil no response."""
    with serving(around, WITH_PATIENCE) as service:
        campaign = Campaign(around, service, client, control, market, seed=1)
        await campaign.prepare()
        await campaign.round(3, Dangers(database=1, worker=0))
    assert campaign.judged > 0


@pytest.mark.slow
@pytest.mark.timeout(LONG_SECONDS + 300)
async def test_a_long_campaign_without_one_violation(
    around: Surroundings, client: httpx.AsyncClient, control: SimulatorControl, market: Market
) -> None:
    """Every response right or a clean error, all that was returned stored and nothing else, and nothing left behind."""
    seed = chosen_seed()
    print(f"\nseed {seed}, {LONG_SECONDS:.0f} s")
    with serving(around) as service:
        campaign = Campaign(around, service, client, control, market, seed)
        await campaign.prepare()
        end = time.monotonic() + LONG_SECONDS
        rounds = 0
        while time.monotonic() < end:
            await campaign.round(ROUND_SECONDS, Dangers())
            rounds += 1
        await asyncio.sleep(LEASE_SECONDS)
        keys = await campaign.settle_keys()
        await await_no_sockets(service, around, 2 * KEEP_ALIVE_SECONDS + 5)
        resting = service.processes.megabytes()
    await judge_storage(around)
    outcomes = campaign.caller.outcomes
    print(f"{rounds} rounds, {outcomes.total()} calls: {dict(outcomes.most_common())}")
    print(f"the slowest of each, in seconds: {campaign.caller.slowest}")
    print(f"{campaign.judged} rebalances judged, {keys} keys settled after their lease")
    print(f"{dict(campaign.done)}; memory at most {campaign.peak_megabytes} MB, in the end {resting} MB")
    assert outcomes["200"] > 0
    assert campaign.peak_megabytes < POD_MEGABYTES


async def judge_storage(around: Surroundings) -> None:
    """Once tidied up, the database holds whole rebalances and nothing else."""
    async with open_database(around.mongod.url, DATABASE_NAME, lease=timedelta(0)) as database:
        await database.sweep()
    with MongoClient[dict[str, object]](around.mongod.url) as client:
        rebalances = client[DATABASE_NAME]["rebalances"]
        assert rebalances.count_documents({"hiddenSince": {"$exists": True}}) == 0
        stored = {header["_id"]: header["numberOfPortfolios"] for header in rebalances.find({"visible": True})}
        portfolios = rebalances.aggregate(
            [
                {"$match": {"_id.rebalanceId": {"$exists": True}}},
                {"$group": {"_id": "$_id.rebalanceId", "count": {"$sum": 1}}},
            ]
        )
        assert {each["_id"]: each["count"] for each in portfolios} == stored
