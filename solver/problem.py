"""The input of the solver and its result: a portfolio to rebalance, a verified solution, or a typed refusal.

Money and shares are Decimals of any precision, and none of the arithmetic on them here rounds. Every type is a frozen
msgspec Struct, so it pickles, compares and encodes by value.
"""

from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

from solver.rules import Restraint

ZERO, ONE = Decimal(0), Decimal(1)


class Security(Struct, frozen=True):
    """One security of a portfolio: what it costs, what is held of it, and where the model wants it.

    A security that is held but not in the model has target and drifts 0.

    Attributes:
        security_id: the caller's name for it; unique within a portfolio.
        price: money per share, above 0.
        quantity: shares held before the rebalance; negative when short, and fractional where a broker allows it.
        target: wanted share of the market value, 0 to 1.
        low_drift: how far below the target its share may stay, 0 to 1.
        high_drift: how far above the target its share may rise, 0 to 1.
    """

    security_id: str
    price: Decimal
    quantity: Decimal = ZERO
    target: Decimal = ZERO
    low_drift: Decimal = ZERO
    high_drift: Decimal = ZERO


class Portfolio(Struct, frozen=True):
    """A portfolio to bring back to its model.

    Attributes:
        securities: the union of the model's and the held securities, in the order that the result keeps.
        cash: money not invested; negative when overdrawn.
    """

    securities: tuple[Security, ...]
    cash: Decimal


class SolverStrategy(StrEnum):
    """`auto` takes the fastest exact way; `milp` sends every portfolio through the full integer program."""

    AUTO = "auto"
    MILP = "milp"


class SolutionPath(StrEnum):
    """The method that produced a solution; none of them is trusted, every one is verified."""

    NOTHING_TO_DO = "NOTHING_TO_DO"
    """Market value 0: there is nothing to buy with and nothing to sell."""
    ROUNDING = "ROUNDING"
    """Each security on its own nearest whole share, which fits in the cash."""
    KNAPSACK = "KNAPSACK"
    """Cash binds: an exact search of the reduced problem."""
    FULL_MILP = "FULL_MILP"
    """The whole problem as an integer program, as `SolverStrategy.MILP` asks; the proof came afterwards."""


class Solution(Struct, frozen=True, tag=True):
    """Quantities that satisfy every constraint in exact arithmetic, with the proof of how good they are.

    Attributes:
        trades: shares to trade, one number for each security of the portfolio, in its order: positive to buy,
            negative to sell, 0 if the security is not traded; an int if the security's own lot is an integer.
        quantities: shares held afterwards, in the same order: `quantity + trade`, a fraction that was held included.
        market_value: cash plus the value of everything held before, less a withdrawal, money.
        cash_after: cash that is left after trades and fees, money.
        objective: sum of `|market_value * target - quantity * price|` after the trades, and the fees, money. With
            the goal BAND, the money traded and the fees.
        bound: proven lower bound of the objective over all feasible quantities, money.
        tie_proven: no other optimum trades fewer shares.
        path: the method that produced it.
        seconds: time the solver took for this portfolio.
        fees: cost of the orders, money.
        outside: sum of the money by which holdings lie outside their bands, if bands are PREFERRED; otherwise 0.
        restraints: for each security, the rule that kept it from a better quantity, or None.
        outside_band: ids of the securities that a restraint keeps outside their band, in the order of the portfolio.
    """

    trades: tuple[int | Decimal, ...]
    quantities: tuple[Decimal, ...]
    market_value: Decimal
    cash_after: Decimal
    objective: Decimal
    bound: Decimal
    tie_proven: bool
    path: SolutionPath
    seconds: float
    fees: Decimal = ZERO
    outside: Decimal = ZERO
    restraints: tuple[Restraint | None, ...] = ()
    outside_band: tuple[str, ...] = ()

    @property
    def gap(self) -> Decimal:
        """Money by which the objective could at most still fall; 0 when the solution is proven optimal."""
        return ZERO if self.objective == self.bound else self.objective - self.bound


class NegativeMarketValue(Struct, frozen=True, tag=True):
    """The portfolio owes more than it owns, after a withdrawal, so no share of it can be invested."""

    market_value: Decimal


class NoWholeShare(Struct, frozen=True, tag=True):
    """No whole number of shares of a security has a weight within its drift band.

    Attributes:
        security_id: which security.
        price: money per share.
        lower_value, upper_value: the band in money, `market_value * (target -/+ drift)`.
        lower_shares, upper_shares: the band in shares, exact up to 12 decimals rounded towards the inside of the band.
        quantity_below, quantity_above: the nearest whole-share holdings outside the band; below is None where it
            would be negative.
        weight_below, weight_above: their weights in the portfolio, 6 decimals.
        drift_needed: the smallest drift, low or high, that would admit one of them, 6 decimals rounded up.
        lot_size: shares by which holdings can differ.
    """

    security_id: str
    price: Decimal
    lower_value: Decimal
    upper_value: Decimal
    lower_shares: Decimal
    upper_shares: Decimal
    quantity_below: Decimal | None
    quantity_above: Decimal
    weight_below: Decimal | None
    weight_above: Decimal
    drift_needed: Decimal
    lot_size: Decimal = ONE


class Minimum(Struct, frozen=True):
    """The least a portfolio must hold of one security: shares, and the money they take."""

    security_id: str
    quantity: Decimal
    value: Decimal


class Locked(Struct, frozen=True):
    """A holding that could raise cash if a restraint did not forbid to sell it, or to sell more of it.

    Attributes:
        security_id: the security.
        quantity: the least that may be held, shares.
        value: of that quantity, money.
        restraint: the rule.
    """

    security_id: str
    quantity: Decimal
    value: Decimal
    restraint: Restraint


class CashShortfall(Struct, frozen=True, tag=True):
    """The least shares that every band demands cost more than the portfolio is worth.

    Attributes:
        missing: money by which the minimums exceed the market value.
        minimums: the minimums other than 0, the most expensive first.
        minimum_cash, withdrawal: money that the rules reserve.
        fees: cost of the orders that the minimums require, money.
        locked: holdings among the minimums that restraints forbid to sell, the most expensive first.
    """

    missing: Decimal
    minimums: tuple[Minimum, ...]
    minimum_cash: Decimal = ZERO
    withdrawal: Decimal = ZERO
    fees: Decimal = ZERO
    locked: tuple[Locked, ...] = ()


type InfeasibleReason = NegativeMarketValue | NoWholeShare | CashShortfall


class Infeasible(Struct, frozen=True, tag=True):
    """No quantities satisfy the constraints, proven in exact arithmetic; every reason is named, not only the first.

    Attributes:
        reasons: at least one.
        message: the reasons as a sentence for a person.
        market_value: money.
        seconds: time the solver took.
        preferred_feasible: the same rules with bands PREFERRED would be feasible.
    """

    reasons: tuple[InfeasibleReason, ...]
    message: str
    market_value: Decimal
    seconds: float
    preferred_feasible: bool = False


class TimeLimit(Struct, frozen=True, tag=True):
    """The time ran out before an optimum was proven.

    Attributes:
        objective: of the best verified quantities found, money; None where none were found.
        bound: proven lower bound of the objective, money; None where the process had to be killed.
        seconds: time spent.
    """

    objective: Decimal | None
    bound: Decimal | None
    seconds: float

    @property
    def gap(self) -> Decimal | None:
        """Money between the best verified quantities and the proven bound; None where either is missing."""
        return None if self.objective is None or self.bound is None else self.objective - self.bound


class Crashed(Struct, frozen=True, tag=True):
    """The solver process died under this portfolio twice; the portfolio itself is suspect."""

    message: str


type Outcome = Solution | Infeasible | TimeLimit | Crashed


class InvalidPortfolio(ValueError):
    """The portfolio breaks the solver's own rules: a price of 0 or less, a target outside 0 to 1, a name twice."""
