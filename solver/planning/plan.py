"""A plan: the trades that bring a portfolio to its targets, what they change, and the proof that none are better."""

from collections.abc import Iterator
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from solver.planning.exact import EXACT, money, plain
from solver.problem import Infeasible, InfeasibleReason, SolutionPath, TimeLimit
from solver.rules import Goal, Restraint, Rules

if TYPE_CHECKING:
    from types import ModuleType

ZERO = Decimal(0)
TRADE_COLUMNS = ("transactionType", "securityId", "ticker", "quantity", "price", "value", "tradeDate")
"""The columns of a CSV file of trades; the service's own has the portfolio's columns before them."""


class NoPlan(ValueError):
    """There is no plan for a portfolio.

    Attributes:
        outcome: what the solver found instead.
    """

    def __init__(self, message: str, outcome: Infeasible | TimeLimit) -> None:
        """Keep the outcome with the message."""
        super().__init__(message)
        self.outcome = outcome


class InfeasiblePlan(NoPlan):
    """No trades satisfy the bands, the rules and the cash.

    Attributes:
        reasons: every reason, as data.
    """

    def __init__(self, outcome: Infeasible) -> None:
        """Describe the reasons in a sentence."""
        super().__init__(outcome.message, outcome)
        self.reasons: tuple[InfeasibleReason, ...] = outcome.reasons


class UnprovenPlan(NoPlan):
    """The time limit ended the search before a plan was proven best."""

    def __init__(self, outcome: TimeLimit) -> None:
        """State how far the proof was."""
        gap = f"; the best trades found are within {plain(outcome.gap)} of the bound" if outcome.gap is not None else ""
        super().__init__(f"No plan was proven best within {outcome.seconds:.1f} s{gap}.", outcome)


class Proof(Struct, frozen=True):
    """How good a plan is proven to be, in exact arithmetic; the fields mean the same as those of `Solution`."""

    path: SolutionPath
    gap: Decimal
    tie_proven: bool
    objective: Decimal
    bound: Decimal
    outside: Decimal


class PlanWarning(Struct, frozen=True):
    """Something about a plan that its reader must know; `code` is the one of the service's API."""

    code: str
    message: str
    security_ids: tuple[str, ...]


class PlannedSecurity(Struct, frozen=True, kw_only=True):
    """One security of a plan.

    Attributes:
        security_id: as it was passed.
        ticker: for people; None if it is not known.
        price: money per share; None if it has none and stays as held.
        quantity_before, quantity_after: shares.
        trade: shares, positive if bought, negative if sold; an int if the lot is an integer.
        target, low_drift, high_drift: shares of the market value.
        weight_before, weight_after: shares of the market value, rounded to 6 decimals, half up.
        restraint: the rule that kept it from a better quantity.
        reason: why it trades, or why it does not, as a sentence.
    """

    security_id: str
    ticker: str | None
    price: Decimal | None
    quantity_before: Decimal
    quantity_after: Decimal
    trade: int | Decimal
    target: Decimal
    low_drift: Decimal
    high_drift: Decimal
    weight_before: Decimal
    weight_after: Decimal
    restraint: Restraint | None
    reason: str

    @property
    def value(self) -> Decimal:
        """Money traded, positive."""
        return ZERO if self.price is None else EXACT.multiply(Decimal(self.trade).copy_abs(), self.price)


class Plan(Struct, frozen=True, kw_only=True):
    """The trades of one portfolio, proven best.

    Attributes:
        securities: all that are held or have a target: those with a target in their order, then the others by id.
        market_value: that the targets refer to, money.
        cash_before, cash_after: money.
        fees: cost of the orders, money.
        drift_before, drift_after: sum of `|target - weight|`, 6 decimals.
        turnover: traded value as a share of the market value, 6 decimals.
        proof: how good the plan is proven to be.
        warnings: what the reader must know.
        rules: that the plan respects.
        trade_date: of the orders.
    """

    securities: tuple[PlannedSecurity, ...]
    market_value: Decimal
    cash_before: Decimal
    cash_after: Decimal
    fees: Decimal
    drift_before: Decimal
    drift_after: Decimal
    turnover: Decimal
    proof: Proof
    warnings: tuple[PlanWarning, ...]
    rules: Rules
    trade_date: date

    @property
    def trades(self) -> dict[str, int | Decimal]:
        """Return the shares to trade by security id, positive if bought and negative if sold, sales first."""
        return {each.security_id: each.trade for each in self.orders}

    @property
    def orders(self) -> tuple[PlannedSecurity, ...]:
        """Return the securities that trade: sales, then purchases."""
        sales = [each for each in self.securities if each.trade < 0]
        return (*sales, *(each for each in self.securities if each.trade > 0))

    @property
    def weights_before(self) -> dict[str, Decimal]:
        """Return the weights before the trades by security id."""
        return {each.security_id: each.weight_before for each in self.securities}

    @property
    def weights_after(self) -> dict[str, Decimal]:
        """Return the weights after the trades by security id."""
        return {each.security_id: each.weight_after for each in self.securities}

    @property
    def reasons(self) -> dict[str, str]:
        """Return the reason of each trade by security id."""
        return {each.security_id: each.reason for each in self.orders}

    def explain(self) -> str:
        """Describe the plan in sentences, one on each line."""
        return "\n".join(self._sentences())

    def _sentences(self) -> Iterator[str]:
        count = len(self.orders)
        orders = f"{count} order{'' if count == 1 else 's'}" if count else "no orders"
        yield (
            f"The portfolio is worth {money(self.market_value)} and needs {orders}: its distance from the targets falls"
            f" from {percent(self.drift_before)} to {percent(self.drift_after)}."
            if count and self.drift_after < self.drift_before
            else f"The portfolio is worth {money(self.market_value)} and needs {orders}; its distance from the targets"
            f" is {percent(self.drift_after)}."
        )
        for each in self.orders:
            verb = "Buy" if each.trade > 0 else "Sell"
            name = f" ({each.ticker})" if each.ticker and each.ticker != each.security_id else ""
            assert each.price is not None
            yield (
                f"{verb} {plain(Decimal(each.trade).copy_abs())} {each.security_id}{name} at {money(each.price)} for"
                f" {money(each.value)}: {each.reason}."
            )
        for each in self.securities:
            if each.restraint and not each.trade:
                yield f"Keep {each.security_id}: {each.reason}."
        fees = f", {money(self.fees)} of which pay for the orders" if self.fees else ""
        yield f"Cash changes from {money(self.cash_before)} to {money(self.cash_after)}{fees}."
        yield proof_sentence(self.proof, self.rules)
        for warning in self.warnings:
            yield warning.message

    def to_csv(self, path: str | Path | None = None) -> str:
        """Return the trades as CSV with the columns of the service's API, and write them to a file if one is named.

        Text that a spreadsheet would run as a formula is preceded by an apostrophe.
        """
        import csv  # noqa: PLC0415 - only if it is needed
        import io  # noqa: PLC0415

        out = io.StringIO(newline="")
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(TRADE_COLUMNS)
        writer.writerows(tuple(_cell(cell) for cell in row.values()) for row in self._rows())
        if path is not None:
            from solver.files.writing import write_completely  # noqa: PLC0415 - only if it is needed

            write_completely(Path(path), out.getvalue())
        return out.getvalue()

    def to_frame(self, backend: "str | ModuleType" = "pandas") -> Any:
        """Return the trades as a data frame of the named library, such as pandas or polars; numbers are Decimals.

        Raises:
            ImportError: the extra `frames` or the library is not installed.
        """
        from solver.planning.frames import make_frame  # noqa: PLC0415 - data frames are an extra

        rows = list(self._rows())
        columns = {name: [row[name] for row in rows] for name in TRADE_COLUMNS}
        if any(isinstance(each.trade, Decimal) for each in self.orders):
            columns["quantity"] = [Decimal(each.trade).copy_abs() for each in self.orders]  # a column has one type
        return make_frame(columns, backend)

    def to_html(self, title: str = "Rebalance") -> str:
        """Return a self-contained HTML document with the trades, the weights and the proof."""
        from solver.files.document import document_of  # noqa: PLC0415 - only if it is needed
        from solver.files.report import render_page  # noqa: PLC0415

        return render_page((document_of(self),), title)

    def _repr_html_(self) -> str:
        from solver.files.document import document_of  # noqa: PLC0415 - only in notebooks
        from solver.files.report import render_report  # noqa: PLC0415

        return render_report((document_of(self),))

    def _rows(self) -> Iterator[dict[str, object]]:
        for each in self.orders:
            assert each.price is not None
            cells: tuple[object, ...] = (
                "BUY" if each.trade > 0 else "SELL",
                each.security_id,
                each.ticker,
                abs(each.trade) if isinstance(each.trade, int) else each.trade.copy_abs(),
                each.price,
                each.value,
                self.trade_date,
            )
            yield dict(zip(TRADE_COLUMNS, cells, strict=True))


def share(part: Decimal, whole: Decimal, places: int = 6) -> Decimal:
    """Return `part / whole`, rounded half up; 0 of nothing."""
    unit = Decimal(1).scaleb(-places)
    if not whole:
        return ZERO.quantize(unit)
    return EXACT.divide(part, whole).quantize(unit, ROUND_HALF_UP, EXACT) + ZERO


def percent(fraction: Decimal, places: int = 2) -> str:
    """Write a share of the market value in percent, for people."""
    unit = Decimal(1).scaleb(-places)
    return f"{EXACT.multiply(fraction, Decimal(100)).quantize(unit, ROUND_HALF_UP, EXACT) + ZERO:f}%"


def proof_sentence(proof: Proof, rules: Rules) -> str:
    """State what is proven of a plan."""
    goal = "move less money" if rules.goal is Goal.BAND else "come closer to the targets"
    fees = ", fees included" if rules.fee_rate or rules.fee_per_order else ""
    if proof.gap:
        return (
            "Checked in exact arithmetic, but not proven best: other trades could be better by at most"
            f" {plain(proof.gap)}."
        )
    tie = "" if proof.tie_proven else " It is not proven that no equally good trades move fewer shares."
    return (
        f"Proven in exact arithmetic: no other trades that respect the bands, the rules and the cash {goal}{fees}"
        f" (distance {plain(proof.objective)}, lower bound {plain(proof.bound)}).{tie}"
    )


def _cell(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Decimal):
        return plain(cell)
    if isinstance(cell, str):
        return neutralized(cell)
    return str(cell)


def neutralized(text: str) -> str:
    """Return text that no spreadsheet runs as a formula: an apostrophe before a leading `=`, `+`, `-` or `@`."""
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) or text.startswith(("\t", "\r", "\n")) else text
