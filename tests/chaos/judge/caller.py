"""A caller of the service who remembers every call, and in the end compares the responses with what is stored."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any

import httpx
import msgspec

from tests.chaos.judge import oracle
from tests.chaos.judge.asked import BROKEN, Asked
from tests.chaos.judge.judge import Judge
from tests.chaos.judge.market import Market
from tests.chaos.judge.oracle import Model, Wanted
from tests.chaos.judge.responses import CODES, ApiResponse, Envelope, RebalanceSummary, StoredRebalance

_LISTED = 20
_HEALTH_SECONDS = 180
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Caller:
    """Calls the service and judges every response.

    Args:
        url: of the service, without `/api/v1`.
        client: for its calls.
        market: what is true.
        longest_seconds: no response may take longer: the deadline, and some more to store what there is by then.

    Attributes:
        judge: of every response; it is told what is disturbed.
        outcomes: how often each status and code was returned.
        slowest: the longest that a caller waited for each of them, in seconds.
    """

    _numbers = count()

    def __init__(self, url: str, client: httpx.AsyncClient, market: Market, *, longest_seconds: float = 20) -> None:
        self._url = f"{url}/api/v1"
        self._health = f"{url}/health"
        self._client = client
        self._models: dict[str, Model] = {}
        self._asked: list[Asked] = []
        self._responses_by_key: dict[str, str] = {}
        self._judged: set[str] = set()
        self._read_before: dict[str, StoredRebalance] = {}
        self._since = _now()
        self.judge = Judge(market, longest_seconds)
        self.outcomes: Counter[str] = Counter()
        self.slowest: dict[str, float] = {}

    async def create_model(self, positions: Sequence[Wanted], portfolios: Iterable[str]) -> Model:
        """Create a model under a new name."""
        name = f"Chaos {next(self._numbers)} of {self._since:%H:%M:%S.%f}"
        body = {
            "name": name,
            "positions": [
                {
                    "securityId": each.security_id,
                    "target": each.target,
                    "lowDrift": each.low_drift,
                    "highDrift": each.high_drift,
                }
                for each in positions
            ],
            "portfolios": (ids := tuple(portfolios)),
        }
        response = await self._client.post(
            f"{self._url}/models", content=_encode(body), headers={"Content-Type": "application/json"}
        )
        assert response.status_code == 201, response.text
        model = Model(response.json()["modelId"], name, tuple(positions), ids)
        self._models[model.model_id] = model
        return model

    async def rebalance(
        self,
        model: Model,
        portfolio_id: str | None = None,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Asked:
        """Rebalance a model, or one portfolio of it; the call is remembered however it ends."""
        if portfolio_id is None:
            path, ids = f"/model/{model.model_id}/rebalance", model.portfolios
        else:
            path, ids = f"/portfolio/{portfolio_id}/rebalance?modelId={model.model_id}", (portfolio_id,)
        sent = {**(headers or {}), **({} if key is None else {"Idempotency-Key": key})}
        began = _now()
        try:
            response = await self._client.post(self._url + path, headers=sent)
        except httpx.TransportError:
            asked = Asked(model, ids, key, began, _now(), BROKEN)
        else:
            asked = self._read(response, Asked(model, ids, key, began, _now(), response.status_code))
        self._asked.append(asked)
        outcome = f"{asked.status} {asked.code}".strip()
        self.outcomes[outcome] += 1
        self.slowest[outcome] = max(self.slowest.get(outcome, 0), asked.seconds)
        self.judge.call(asked)
        return asked

    async def await_live(self) -> None:
        """Wait until the service responds at all."""
        await self._await("live", 200)

    async def await_ready(self) -> None:
        """Wait until the service says that it can take requests."""
        await self._await("ready", 200)

    async def await_not_ready(self) -> None:
        """Wait until the service says that it cannot take requests."""
        await self._await("ready", 503)

    async def await_outcome(self, outcome: str) -> None:
        """Wait until calls of other tasks have ended with this status and code."""
        until = time.monotonic() + _HEALTH_SECONDS
        while not self.outcomes[outcome]:
            assert time.monotonic() < until, f"nobody got {outcome}"
            await asyncio.sleep(0.05)

    async def _await(self, health: str, status: int) -> None:
        until = time.monotonic() + _HEALTH_SECONDS
        while time.monotonic() < until:
            with suppress(httpx.TransportError):
                if (await self._client.get(f"{self._health}/{health}")).status_code == status:
                    return
            await asyncio.sleep(0.05)
        raise AssertionError(f"/health/{health} does not become {status}")

    async def await_normal(self, model: Model, within_seconds: float) -> None:
        """Rebalance until no portfolio fails for a disturbance; in a call begun after this time none may."""
        since = time.monotonic()
        while True:
            begun = time.monotonic()
            asked = await self.rebalance(model)
            if asked.undisturbed:
                return
            told = f"{asked.status} {asked.message} {Counter(asked.failed.values())}"
            assert begun < since + within_seconds, f"not normal after {begun - since:.2f} s: {told}"

    async def read_again(self, rebalance_id: str) -> None:
        """Read a rebalance, which must be what it was, or a clean error where something is disturbed.

        Of a response whose first part is sent a database that goes away, and stays away, leaves a broken connection.
        """
        try:
            response = await self._client.get(f"{self._url}/rebalance/{rebalance_id}")
        except httpx.TransportError:
            assert self.judge.blamed & {"worker", "database"}, (
                "the connection broke, and worker and database were alive"
            )
            return
        if response.status_code == 200:
            rebalance = msgspec.json.decode(response.content, type=StoredRebalance)
            assert rebalance == self._read_before.setdefault(rebalance_id, rebalance), "a stored rebalance has changed"
        else:
            self.judge.failure(msgspec.json.decode(response.content, type=Envelope).error)

    async def stored(self, rebalance_id: str) -> StoredRebalance:
        """A rebalance as it reads back, whole."""
        response = await self._client.get(f"{self._url}/rebalance/{rebalance_id}")
        assert response.status_code == 200, f"what was returned is not stored: {response.text}"
        rebalance = msgspec.json.decode(response.content, type=StoredRebalance)
        assert rebalance.rebalance_id == rebalance_id
        assert rebalance.number_of_portfolios == len(rebalance.portfolios), "half of a rebalance is visible"
        return rebalance

    async def settle(self) -> int:
        """Judge everything asked since the last time, once no call is under way; returns how many rebalances it saw.

        Raises:
            AssertionError: a response is wrong, or something was stored and not returned, or returned and not stored.
        """
        listed = {each.rebalance_id for each in await self._list()}
        stored_by_id: dict[str, StoredRebalance] = {}
        for asked in self._asked:
            if asked.rebalance_id is not None:
                stored_by_id[asked.rebalance_id] = await self._judge_stored(asked)
        due = {each for each, rebalance in stored_by_id.items() if rebalance.rebalance_date >= self._since}
        assert due <= listed, f"returned but not listed: {due - listed}"
        for rebalance_id in listed - stored_by_id.keys():
            self._judge_without_response(await self.stored(rebalance_id))
        self._asked.clear()
        self._since = _now()
        return len(listed)

    async def _list(self) -> list[RebalanceSummary]:
        found: list[RebalanceSummary] = []
        for offset in count(0, _LISTED):
            response = await self._client.get(
                f"{self._url}/rebalances",
                params={"offset": offset, "limit": _LISTED, "view": "summary", "sort_by": "-rebalance_date"},
            )
            assert response.status_code == 200, response.text
            page = msgspec.json.decode(response.content, type=list[RebalanceSummary])
            recent = [each for each in page if each.rebalance_date >= self._since]
            found += [each for each in recent if each.model_id in self._models]
            if len(recent) < _LISTED:
                return found
        raise AssertionError("unreachable")

    def _read(self, response: httpx.Response, asked: Asked) -> Asked:
        headers = {name.lower(): value for name, value in response.headers.items()}
        assert headers.get("x-correlation-id"), "every response has a correlation id"
        assert headers["content-type"] == "application/json"
        if response.status_code == 200:
            kind: Any = ApiResponse if response.content.startswith(b"{") else list[ApiResponse]
            decoded = msgspec.json.decode(response.content, type=kind)
            responses = tuple(decoded) if isinstance(decoded, list) else (decoded,)
            return msgspec.structs.replace(asked, responses=responses, headers=headers)
        failure = msgspec.json.decode(response.content, type=Envelope).error
        assert CODES.get(failure.code) == response.status_code, f"{response.status_code} {failure.code}"
        assert failure.trace_id == headers["x-correlation-id"]
        return msgspec.structs.replace(asked, failure=failure, headers=headers)

    async def _judge_stored(self, asked: Asked) -> StoredRebalance:
        assert asked.rebalance_id is not None
        if asked.key is not None and asked.final:
            first = self._responses_by_key.setdefault(asked.key, asked.rebalance_id)
            assert first == asked.rebalance_id, f"one idempotency key, two rebalances: {first}, and {asked}"
        rebalance = await self.stored(asked.rebalance_id)
        if rebalance.rebalance_id not in self._judged:  # or it is a replay, of prices that are not the present ones
            self._judge_rebalance(rebalance, asked)
        if asked.failure is not None:
            stored = {each.portfolio_id: each.error.code for each in rebalance.portfolios if each.error}
            assert asked.failed == stored, "the failures are returned and stored differently"
        else:
            for response, portfolio in zip(asked.responses, rebalance.portfolios, strict=True):
                oracle.judge_response(response, portfolio)
        return rebalance

    def _judge_rebalance(self, rebalance: StoredRebalance, asked: Asked) -> None:
        self.judge.rebalance(rebalance, asked)
        self._judged.add(rebalance.rebalance_id)

    def _judge_without_response(self, rebalance: StoredRebalance) -> None:
        """What is stored and was not returned must belong to a call whose caller could not be told."""
        portfolio_ids = tuple(each.portfolio_id for each in rebalance.portfolios)
        for asked in self._asked:
            repeated = rebalance.final and asked.key is not None and asked.key in self._responses_by_key
            if (
                asked.unclear
                and not repeated
                and (asked.model.model_id, asked.portfolio_ids) == (rebalance.model_id, portfolio_ids)
                and asked.began <= rebalance.rebalance_date <= asked.ended
            ):
                self._judge_rebalance(rebalance, asked)
                if rebalance.final and asked.key is not None:
                    self._responses_by_key[asked.key] = rebalance.rebalance_id
                return
        raise AssertionError(f"{rebalance.rebalance_id} is stored, and nobody was told")


def evenly(security_ids: Sequence[str], *, invested: str = "0.9", drift: str = "0.05") -> tuple[Wanted, ...]:
    """The same target for each security, a multiple of .005, and the same drift both ways."""
    step = Decimal("0.005")
    target = Decimal(invested) / len(security_ids) // step * step
    return tuple(Wanted(each, target, Decimal(drift), Decimal(drift)) for each in security_ids)


def _now() -> datetime:
    """Now, to the millisecond below, which is what the database keeps."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
