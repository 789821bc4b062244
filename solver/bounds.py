"""The whole shares each drift band admits, and every reason why a portfolio has no whole-share answer."""

from msgspec import Struct

from solver.scaling import ScaledPortfolio


class ShareBounds(Struct, frozen=True):
    """What each security may hold, in whole shares on top of the fraction that cannot be traded.

    Attributes:
        lowest, highest: fewest and most whole shares within the band; `lowest > highest` where no number fits.
        below: whole shares that come nearest to the target from below; -1 where the fraction alone exceeds it.
        remainders: money between `below` and the target, at least 0 and less than a share, in fine units.
        fine_prices: price in fine units, `10 ** -fine_places` of money each.
        fine_places: decimals of `market_value * target`.
    """

    lowest: list[int]
    highest: list[int]
    below: list[int]
    remainders: list[int]
    fine_prices: list[int]
    fine_places: int


def share_bounds(scaled: ScaledPortfolio) -> ShareBounds:
    """Exact bounds of every security; never rounds, whatever the number of decimals.

    A security without a target may always be sold down to its fraction.
    """
    market_value = scaled.market_value
    weight_places = max(scaled.target_places, scaled.drift_places)
    target_unit = 10 ** (weight_places - scaled.target_places)
    drift_unit = 10 ** (weight_places - scaled.drift_places)
    band_price_unit = 10 ** (scaled.money_places - scaled.price_places + weight_places)
    band_unit = 10**weight_places
    fine_price_unit = 10 ** (scaled.money_places - scaled.price_places + scaled.target_places)
    fine_unit = 10**scaled.target_places
    lowest: list[int] = []
    highest: list[int] = []
    below: list[int] = []
    remainders: list[int] = []
    fine_prices: list[int] = []
    for price, fraction_value, target, low_drift, high_drift in zip(
        scaled.prices, scaled.fraction_values, scaled.targets, scaled.low_drifts, scaled.high_drifts, strict=True
    ):
        band_price = price * band_price_unit
        band_fraction = fraction_value * band_unit
        least = -((band_fraction - market_value * (target * target_unit - low_drift * drift_unit)) // band_price)
        most = (market_value * (target * target_unit + high_drift * drift_unit) - band_fraction) // band_price
        if least < 0:
            least = 0
        if most < 0 and target == 0:
            most = 0
        fine_price = price * fine_price_unit
        shares, remainder = divmod(market_value * target - fraction_value * fine_unit, fine_price)
        lowest.append(least)
        highest.append(most)
        below.append(shares)
        remainders.append(remainder)
        fine_prices.append(fine_price)
    return ShareBounds(
        lowest=lowest,
        highest=highest,
        below=below,
        remainders=remainders,
        fine_prices=fine_prices,
        fine_places=scaled.money_places + scaled.target_places,
    )
