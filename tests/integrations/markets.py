"""The Security and the Pricing Service in one, as a test changes them."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from integrations.market_data import MarketData

APPLE, PEAR, PLUM, FIG = (f"{number:024x}" for number in range(1, 5))


class Market:
    """The Security and the Pricing Service in one: two lists and single responses, all of them JSON texts."""

    def __init__(self) -> None:
        self.securities = (
            f'[{{"securityId": "{APPLE}", "ticker": "AAPL"}}, {{"securityId": "{PEAR}", "ticker": "PEAR"}}]'
        )
        self.prices = '[{"ticker": "AAPL", "close": 190.55}, {"ticker": "PEAR", "close": 2.10}]'
        self.single: dict[str, str] = {}
        self.statuses: dict[str, int] = {}

    async def __call__(self, request: web.Request) -> web.Response:
        path = request.raw_path.removeprefix("/api/v1/")
        lists = {"securities": self.securities, "prices": self.prices}
        body = lists.get(path) or self.single.get(path)
        status = self.statuses.get(path, 404 if body is None else 200)
        await asyncio.sleep(0.01)
        return web.Response(text=body or "{}", status=status, content_type="application/json")


type MakeMarketData = Callable[..., MarketData]
