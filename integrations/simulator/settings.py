"""What can be chosen when a simulator starts, and the names of the services it simulates."""

from decimal import Decimal
from enum import StrEnum

from msgspec import Struct


class Service(StrEnum):
    """A simulated service, by the name it has in faults and call counts."""

    PORTFOLIO_ACCOUNTING = "portfolio-accounting"
    PRICING = "pricing"
    PORTFOLIO = "portfolio"
    SECURITY = "security"
    ORDER = "order"


class SimulatorSettings(Struct, frozen=True, kw_only=True):
    """A simulated world: the same settings give the same securities, mean prices and portfolios.

    Attributes:
        seed: everything that is drawn is drawn from it.
        portfolios: how many there are besides the special cases; memory does not grow with it.
        securities: how many there are.
        priced_securities: how many of them have a price.
        price_spread: standard deviation of one drawn price as a share of its mean; 0 returns the mean itself.
        host: IPv4 address, or a name that has one, to listen on.
        first_port: the five services and the control API listen on this and the next five ports; 0 chooses free ones.
    """

    seed: int = 1
    portfolios: int = 10_000
    securities: int = 505
    priced_securities: int = 310
    price_spread: Decimal = Decimal("0.016")
    host: str = "127.0.0.1"
    first_port: int = 0

    def __post_init__(self) -> None:
        """Refuse a world that cannot be drawn.

        Raises:
            ValueError: a number out of its range.
        """
        if not 0 <= self.portfolios <= 2**32:
            raise ValueError("portfolios must be between 0 and 2**32")
        if not 20 <= self.priced_securities < self.securities <= 100_000:
            raise ValueError("priced_securities must be at least 20 and below securities, securities at most 100000")
        if not (self.price_spread.is_finite() and 0 <= self.price_spread <= Decimal("0.2")):
            raise ValueError("price_spread must be between 0 and 0.2")
        if not (self.first_port == 0 or 1 <= self.first_port <= 65_530):
            raise ValueError("first_port must be 0 or between 1 and 65530")


class SimulatorUrls(Struct, frozen=True):
    """Base URLs of a running simulator, without `/api/v1`."""

    portfolio_accounting: str
    pricing: str
    portfolio: str
    security: str
    order: str
    control: str
