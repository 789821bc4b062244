"""The seeded world: securities, and portfolios that are computed from their id whenever somebody asks."""

from decimal import Decimal
from hashlib import blake2b
from itertools import chain, islice
from random import Random

from msgspec import Struct

from integrations.simulator.holdings import Holdings, Security, SpecialCase, special_holdings
from integrations.simulator.settings import SimulatorSettings

_ID_SPACE = 2**64
_ODD_MULTIPLIER = 0x9E3779B97F4A7C15
_INVERSE_MULTIPLIER = pow(_ODD_MULTIPLIER, -1, _ID_SPACE)
_FIRST_CASE = 2**63
_PORTFOLIO_PREFIX = "68989d07"
_SECURITY_PREFIX = "68759586"
# The pricing service lists about 470 tickers; 310 of them belong to a security.
_FOREIGN_TICKERS = 160

_EXPENSIVE_MEAN = 190_000
_CASES = tuple(SpecialCase)


class Portfolio(Struct, frozen=True):
    """A portfolio as the Portfolio Service knows it."""

    portfolio_id: str
    name: str


class World:
    """Securities and portfolios of one seed, and what a test put in their place."""

    def __init__(self, settings: SimulatorSettings) -> None:
        """Draw the securities; portfolios are drawn on request."""
        self._seed = settings.seed
        self._count = settings.portfolios
        self._portfolio_mask = int.from_bytes(self._digest("portfolio ids"))
        self._security_mask = int.from_bytes(self._digest("security ids"))
        drawn = Random(f"securities of {settings.seed}")  # noqa: S311 - reproducible, not secret
        tickers = _tickers(drawn, settings.securities + _FOREIGN_TICKERS)
        priced = set(drawn.sample(range(settings.securities), settings.priced_securities))
        expensive = max(priced)
        self.securities = tuple(
            Security(
                security_id=_SECURITY_PREFIX + _scramble(index, self._security_mask),
                ticker=ticker,
                description=f"{ticker} Corporation Common Stock, simulated",
                mean=None if index not in priced else _EXPENSIVE_MEAN if index == expensive else _draw_mean(drawn),
            )
            for index, ticker in enumerate(tickers[: settings.securities])
        )
        self.price_means = {security.ticker: security.mean for security in self.securities if security.mean is not None}
        """Mean prices in cents by ticker: those of the priced securities, and of tickers that no security has."""
        self.price_means |= {ticker: _draw_mean(drawn) for ticker in tickers[settings.securities :]}
        self.by_id = {security.security_id: security for security in self.securities}
        self._priced = tuple(security for security in self.securities if security.mean is not None)
        self._cases = special_holdings(self.securities)
        self._changed: dict[str, Holdings] = {}
        self._names: dict[str, str] = {}
        self._registered: dict[str, None] = {}

    @property
    def expensive_security(self) -> Security:
        """The priced security with a mean of 1,900.00; the last of the priced ones."""
        return self._priced[-1]

    def priced_security_ids(self) -> list[str]:
        """Return the ids of the securities that had a price at the start, in the world's order."""
        return [security.security_id for security in self._priced]

    def unpriced_security_ids(self) -> list[str]:
        """Return the ids of the securities that had no price at the start, in the world's order."""
        return [security.security_id for security in self.securities if security.mean is None]

    def portfolio_ids(self, offset: int = 0, count: int | None = None) -> list[str]:
        """Return the ids of the regular portfolios, which hold only cash, from `offset` on, at most `count` of them."""
        end = self._count if count is None else min(self._count, offset + count)
        return [self._portfolio_id(index) for index in range(offset, end)]

    def case_id(self, case: SpecialCase) -> str:
        """Id of the portfolio that is this special case."""
        return self._portfolio_id(_FIRST_CASE + _CASES.index(case))

    @property
    def portfolio_count(self) -> int:
        """How many portfolios the Portfolio Service lists: regular ones, special cases and registered ones."""
        return self._count + len(SpecialCase) + len(self._registered)

    def portfolios(self, offset: int, count: int) -> list[Portfolio]:
        """Return a page of the list: regular portfolios, then special cases, then registered ones."""
        regular = self.portfolio_ids(offset, count)
        rest = islice(
            chain((self.case_id(case) for case in SpecialCase), self._registered),
            max(0, offset - self._count),
            max(0, offset + count - self._count),
        )
        found = (self.portfolio(portfolio_id) for portfolio_id in chain(regular, rest))
        return [portfolio for portfolio in found if portfolio is not None]

    def portfolio(self, portfolio_id: str) -> Portfolio | None:
        """Return the portfolio with this id; None for an unknown one."""
        place = self._place(portfolio_id)
        if place is None and portfolio_id not in self._registered:
            return None
        name = f"Portfolio {place + 1}" if isinstance(place, int) else f"Portfolio {place or portfolio_id}"
        return Portfolio(portfolio_id, self._names.get(portfolio_id, name))

    def holdings(self, portfolio_id: str) -> Holdings:
        """Return the current holdings of a portfolio; none if it is unknown, like the real service."""
        changed = self._changed.get(portfolio_id)
        if changed is not None:
            return changed
        place = self._place(portfolio_id)
        if place is None:
            return Holdings()
        return Holdings(cash=self._starting_cash(place)) if isinstance(place, int) else self._cases[place]

    def put_holdings(self, portfolio_id: str, holdings: Holdings, name: str | None = None) -> None:
        """Replace a portfolio's holdings, and rename it if a name is passed; an unknown id becomes a new portfolio."""
        if self._place(portfolio_id) is None:
            self._registered[portfolio_id] = None
        if name is not None:
            self._names[portfolio_id] = name
        self._changed[portfolio_id] = holdings

    def restore(self, portfolio_id: str) -> None:
        """Forget what was put in this portfolio's place; a registered one disappears."""
        for changes in (self._changed, self._names, self._registered):
            changes.pop(portfolio_id, None)

    def _digest(self, what: str) -> bytes:
        return blake2b(f"{self._seed} {what}".encode(), digest_size=8).digest()

    def _portfolio_id(self, index: int) -> str:
        return _PORTFOLIO_PREFIX + _scramble(index, self._portfolio_mask)

    def _place(self, portfolio_id: str) -> int | SpecialCase | None:
        """Turn an id back into the index or special case it was made of."""
        if len(portfolio_id) != 24 or not portfolio_id.startswith(_PORTFOLIO_PREFIX):
            return None
        try:
            scrambled = int(portfolio_id[8:], 16)
        except ValueError:
            return None
        index = (scrambled ^ self._portfolio_mask) * _INVERSE_MULTIPLIER % _ID_SPACE
        if 0 <= index - _FIRST_CASE < len(_CASES):
            return _CASES[index - _FIRST_CASE]
        return index if index < self._count else None

    def _starting_cash(self, index: int) -> Decimal:
        """60% of the portfolios start with 100,000 to 1,000,000, the others with up to 4,000,000, to the cent."""
        drawn = int.from_bytes(self._digest(f"cash of {index}"))
        kind, amount = drawn % 10, drawn // 10
        low, high = (10_000_000, 100_000_000) if kind < 6 else (100_000_000, 400_000_000)
        return Decimal(low + amount % (high - low + 1)).scaleb(-2)


def _draw_mean(drawn: Random) -> int:
    """Mean price in cents: lognormal with mu 4.141 and sigma 0.692, between 1.79 and 1992."""
    return round(100 * min(1992.0, max(1.79, drawn.lognormvariate(4.141, 0.692))))


def _scramble(index: int, mask: int) -> str:
    """Sixteen hex digits that look random and turn back into the index without a table."""
    return f"{index * _ODD_MULTIPLIER % _ID_SPACE ^ mask:016x}"


def _tickers(drawn: Random, count: int) -> list[str]:
    """Distinct tickers of three to five capital letters."""
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(drawn.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=drawn.choice((3, 4, 4, 5))))] = None
    return list(found)
