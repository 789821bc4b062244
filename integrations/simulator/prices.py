"""Mean prices, and the random draw around them for every reply of the pricing service."""

import re
from decimal import Decimal

import numpy as np

_CENTS = tuple(f".{cents:02}" for cents in range(100))
_DATE = "2025-08-10"
_TICKER = re.compile("[A-Za-z0-9.-]{1,50}")
_HIGHEST = Decimal(10_000_000)
_VOLUME = 1_000_000


class PriceBoard:
    """The prices of every ticker: means in cents, each drawn anew for each reply.

    A drawn price is normal around its mean, rounded to the cent and never below one, as the real service draws it.
    """

    def __init__(self, means: dict[str, int], spread: Decimal, seed: int) -> None:
        """Store the starting means in cents by ticker and their standard deviation as a share of the mean."""
        self._starting_means, self._starting_spread = means, spread
        self._random = np.random.default_rng(seed)
        self.reset()

    def reset(self) -> None:
        """Restore the starting means and spread; the sequence of draws continues."""
        self._means = dict(self._starting_means)
        self._frozen: set[str] = set()
        self._spread = self._starting_spread
        self._arrange()

    @property
    def spread(self) -> Decimal:
        """Standard deviation of a draw as a share of the mean, for the tickers that are not frozen."""
        return self._spread

    def put_spread(self, spread: Decimal) -> None:
        """Set the spread of every ticker without an exact price; 0 returns the means themselves.

        Raises:
            ValueError: not between 0 and 0.2.
        """
        if not (spread.is_finite() and 0 <= spread <= Decimal("0.2")):
            raise ValueError("the spread must be between 0 and 0.2")
        self._spread = spread
        self._arrange()

    def put_price(self, ticker: str, price: Decimal) -> None:
        """Set the exact price of a ticker, new or known.

        Raises:
            ValueError: the price is not a positive number of whole cents, or the ticker is not one.
        """
        if _TICKER.fullmatch(ticker) is None:
            raise ValueError("a ticker is 1 to 50 letters, digits, points and hyphens")
        if not price.is_finite() or price <= 0 or price > _HIGHEST or price.scaleb(2) % 1:
            raise ValueError("a price is a positive number of whole cents, at most 10,000,000")
        self._means[ticker] = int(price.scaleb(2))
        self._frozen.add(ticker)
        self._arrange()

    def remove_price(self, ticker: str) -> None:
        """Leave a ticker without a price; one that has none stays as it is."""
        self._means.pop(ticker, None)
        self._frozen.discard(ticker)
        self._arrange()

    def means(self) -> dict[str, Decimal]:
        """Return the mean prices in money by ticker, which are exact if frozen or if the spread is 0."""
        return {ticker: Decimal(mean).scaleb(-2) for ticker, mean in self._means.items()}

    def draw(self) -> dict[str, Decimal]:
        """Draw every price once, in money by ticker."""
        return {t: Decimal(cents).scaleb(-2) for t, cents in zip(self._means, self._draw_cents(), strict=True)}

    def encode_all(self) -> bytes:
        """Return the body of a reply with all prices, drawn now."""
        texts = [str(cents // 100) + _CENTS[cents % 100] for cents in self._draw_cents()]
        for field in range(1, 9, 2):
            self._pieces[field::9] = texts
        return b"[" + "".join(self._pieces)[1:].encode() + b"]"

    def encode_one(self, ticker: str) -> bytes | None:
        """Return the body of a reply with one price, drawn now; None if exactly this ticker has no price."""
        mean = self._means.get(ticker)
        if mean is None:
            return None
        spread = 0.0 if ticker in self._frozen else float(self._spread)
        cents = max(1, round(mean * (1 + spread * self._random.standard_normal())))
        pieces = _row_pieces(self._rows[ticker], ticker)
        pieces[1::2] = [str(cents // 100) + _CENTS[cents % 100]] * 4
        return "".join(pieces)[1:].encode()

    def _arrange(self) -> None:
        """Lay out everything of a reply that a draw does not change."""
        self._rows = {ticker: row for row, ticker in enumerate(self._means, start=1)}
        self._pieces = [piece for ticker, row in self._rows.items() for piece in _row_pieces(row, ticker)]
        self._array = np.array(list(self._means.values()), dtype=np.float64)
        spread = float(self._spread)
        self._deviations = self._array * [0.0 if ticker in self._frozen else spread for ticker in self._means]

    def _draw_cents(self) -> list[int]:
        drawn = self._array + self._deviations * self._random.standard_normal(len(self._array))
        cents: list[int] = np.maximum(1, np.rint(drawn)).astype(np.int64).tolist()
        return cents


def _row_pieces(row: int, ticker: str) -> list[str]:
    """One row, a comma before it, as nine pieces; every second of them is the price still to be drawn."""
    start = f',{{"id":{row},"ticker":"{ticker}","date":"{_DATE}","open":'
    return [start, "", ',"close":', "", ',"high":', "", ',"low":', "", f',"volume":{_VOLUME}}}']
