"""What is true: the prices and holdings that the simulator has while no fault hides them."""

from collections.abc import Iterable
from decimal import Decimal
from random import Random

from integrations.simulator import Holding, Holdings, SimulatorSettings, World
from tests.harness.simulator import SimulatorControl


class Market:
    """The world that the simulator started with, its prices standing still, and every change made to it since."""

    def __init__(self) -> None:
        self.world = World(SimulatorSettings())
        self._tickers = {security.security_id: security.ticker for security in self.world.securities}
        self._prices = self._first_prices()
        self._moved: set[str] = set()

    def knows(self, security_id: str) -> bool:
        """Whether the Security Service has this security."""
        return security_id in self._tickers

    def price(self, security_id: str) -> Decimal | None:
        """Money per share, None for a security without a price."""
        ticker = self._tickers.get(security_id)
        return None if ticker is None else self._prices.get(ticker)

    def held(self, portfolio_id: str) -> tuple[Decimal, dict[str, Decimal]]:
        """Cash, and the net quantity of each security that is not 0."""
        holdings = self.world.holdings(portfolio_id)
        held = {each.security_id: each.quantity for each in holdings.holdings if each.quantity}
        return holdings.cash or Decimal(0), held

    async def put_holdings(self, control: SimulatorControl, portfolio_id: str, holdings: Holdings) -> None:
        """Give a portfolio these holdings."""
        self._moved.add(portfolio_id)
        self.world.put_holdings(portfolio_id, holdings)
        await control.put_portfolio(portfolio_id, holdings)

    async def move(
        self, control: SimulatorControl, chance: Random, securities: Iterable[str], portfolios: Iterable[str]
    ) -> None:
        """Draw new prices for these securities, new holdings for these portfolios; nobody may be asking meanwhile."""
        securities = tuple(securities)
        for security_id in securities:
            ticker = self._tickers[security_id]
            price = Decimal(chance.randint(179, 20_000)).scaleb(-2)
            self._prices[ticker] = price
            await control.put_price(ticker, price)
        for portfolio_id in portfolios:
            held = chance.sample(securities, chance.randint(0, len(securities)))
            holdings = tuple(Holding(security_id, Decimal(chance.randint(1, 3_000))) for security_id in held)
            cash = Decimal(chance.randint(0, 50_000_000)).scaleb(-2)
            await self.put_holdings(control, portfolio_id, Holdings(cash, holdings))

    async def restore(self, control: SimulatorControl) -> None:
        """Take back every change; nobody may be asking meanwhile."""
        self._prices = self._first_prices()
        await control.restore_prices()
        for portfolio_id in self._moved:
            self.world.restore(portfolio_id)
            await control.restore_portfolio(portfolio_id)
        self._moved.clear()

    def _first_prices(self) -> dict[str, Decimal]:
        return {ticker: Decimal(cents).scaleb(-2) for ticker, cents in self.world.price_means.items()}
