"""From holdings, targets, prices and cash to a plan."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, overload

from solver.cascade import solve
from solver.planning.exact import EXACT, InvalidInput, exact, plain, total
from solver.planning.plan import InfeasiblePlan, Plan, PlannedSecurity, PlanWarning, Proof, UnprovenPlan, share
from solver.planning.reasons import reason_of
from solver.problem import Crashed, Infeasible, Portfolio, Security, Solution, SolverStrategy, TimeLimit
from solver.rules import Restraint, Rules, Unpriced

if TYPE_CHECKING:
    from solver.planning.tabular import Target

ZERO = Decimal(0)


@overload
def rebalance(
    holdings: object,
    targets: object,
    prices: object = None,
    cash: object = None,
    rules: Rules | Mapping[str, object] | None = None,
    *,
    tickers: Mapping[str, str] | None = None,
    trade_date: date | None = None,
    strategy: SolverStrategy = SolverStrategy.AUTO,
    time_limit_seconds: float = 30.0,
    on_infeasible: Literal["raise"] = "raise",
) -> Plan: ...


@overload
def rebalance(
    holdings: object,
    targets: object,
    prices: object = None,
    cash: object = None,
    rules: Rules | Mapping[str, object] | None = None,
    *,
    tickers: Mapping[str, str] | None = None,
    trade_date: date | None = None,
    strategy: SolverStrategy = SolverStrategy.AUTO,
    time_limit_seconds: float = 30.0,
    on_infeasible: Literal["return"],
) -> Plan | Infeasible: ...


def rebalance(
    holdings: object,
    targets: object,
    prices: object = None,
    cash: object = None,
    rules: Rules | Mapping[str, object] | None = None,
    *,
    tickers: Mapping[str, str] | None = None,
    trade_date: date | None = None,
    strategy: SolverStrategy = SolverStrategy.AUTO,
    time_limit_seconds: float = 30.0,
    on_infeasible: Literal["raise", "return"] = "raise",
) -> Plan | Infeasible:
    """Return the trades that bring holdings as close to their targets as lots, bands, rules and cash allow.

    Every number may be an int, a Decimal, a string such as "12.5", or a float that is a short decimal.

    Args:
        holdings: shares by security id; or rows, as mappings or tuples `(security, quantity[, price])`; or a data frame
            with such columns. A row called "cash" is cash.
        targets: fractions of the market value by security id, or "60%"; a tuple `(target, drift)` or
            `(target, low_drift, high_drift)` has a band; or rows or a data frame with such columns.
        prices: money per share by security id, rows or a data frame; they take precedence over prices in the holdings.
        cash: money; None for the cash row of the holdings, or 0.
        rules: that the plan must respect, as `Rules` or as a mapping with the API's names.
        tickers: names for people, by security id.
        trade_date: of the orders; None for today in UTC.
        strategy: how the solver proceeds.
        time_limit_seconds: after which there is no plan unless it is proven.
        on_infeasible: "return" returns the `Infeasible` outcome instead of raising an error.

    Raises:
        InvalidInput: something that was passed is unclear or inexact; the message names it.
        InvalidRules: a rule is wrong.
        InfeasiblePlan: no trades satisfy the bands, the rules and the cash; it has every reason.
        UnprovenPlan: the time limit was reached.

    >>> plan = rebalance({"AAA": 10}, {"AAA": 0.5, "BBB": 0.45}, prices={"AAA": 100, "BBB": 50}, cash=1000)
    >>> plan.trades
    {'BBB': 18}
    >>> plan.weights_after["BBB"], plan.cash_after
    (Decimal('0.450000'), Decimal('100'))
    """
    # What reads tables and JSON is not worth loading for those who only call `solve`.
    from solver.planning.rule_input import rules_from  # noqa: PLC0415
    from solver.planning.tabular import read_holdings, read_prices, read_targets  # noqa: PLC0415

    if on_infeasible not in ("raise", "return"):
        raise InvalidInput(f"on_infeasible: must be 'raise' or 'return', is {on_infeasible!r}")
    _check_types(tickers, trade_date)
    chosen = rules_from(rules)
    held = read_holdings(holdings)
    wanted = read_targets(targets)
    all_prices = {**wanted.prices, **held.prices, **read_prices(prices)}
    money = _cash(cash, held.cash)
    unpriced = _unpriced(held.quantities, wanted.targets, all_prices, chosen)
    portfolio = _portfolio(held.quantities, wanted.targets, all_prices, money, unpriced)
    outcome = solve(portfolio, rules=chosen, strategy=strategy, time_limit_seconds=time_limit_seconds)
    match outcome:
        case Solution():
            known = {**held.tickers, **(tickers or {})}
            kept = {security_id: held.quantities[security_id] for security_id in unpriced}
            return _plan(portfolio, outcome, chosen, known, kept, trade_date)
        case Infeasible():
            if on_infeasible == "return":
                return outcome
            raise InfeasiblePlan(outcome)
        case TimeLimit():
            raise UnprovenPlan(outcome)
        case Crashed():
            raise RuntimeError(outcome.message)


def _check_types(tickers: object, trade_date: object) -> None:
    if tickers is not None and not isinstance(tickers, Mapping):
        raise InvalidInput(f"tickers: must be a mapping, is of type {type(tickers).__name__}")
    if trade_date is not None and (not isinstance(trade_date, date) or isinstance(trade_date, datetime)):
        raise InvalidInput(f"trade_date: must be a datetime.date, is {trade_date!r}")


def _cash(cash: object, row: Decimal | None) -> Decimal:
    if cash is None:
        return row if row is not None else ZERO
    money = exact(cash, "cash")
    if row is not None and row != money:
        raise InvalidInput(f"cash: {plain(money)} was passed, but the holdings have a cash row of {plain(row)}")
    return money


def _unpriced(
    quantities: Mapping[str, Decimal], targets: Mapping[str, "Target"], prices: Mapping[str, Decimal], rules: Rules
) -> list[str]:
    """Return the securities that stay because they have no price, as far as the rules allow it."""
    needed = [*targets, *sorted(set(quantities) - set(targets))]
    missing = [each for each in needed if each not in prices and (quantities.get(each) or each in targets)]
    held = [each for each in missing if each not in targets]
    if rules.unpriced is Unpriced.HOLD and len(held) == len(missing):
        return held
    if missing:
        raise InvalidInput(f"price: {', '.join(missing[:20])} {'has' if len(missing) == 1 else 'have'} no price")
    return []


def _portfolio(
    quantities: Mapping[str, Decimal],
    targets: Mapping[str, "Target"],
    prices: Mapping[str, Decimal],
    cash: Decimal,
    unpriced: list[str],
) -> Portfolio:
    outside = sorted(each for each, held in quantities.items() if held and each not in targets and each not in unpriced)
    for each in (*targets, *outside):
        if prices[each] <= 0:
            raise InvalidInput(f"price of {each}: must be above 0, is {plain(prices[each])}")
    return Portfolio(
        securities=tuple(
            Security(each, prices[each], quantities.get(each, ZERO), target.target, target.low_drift, target.high_drift)
            for each, target in targets.items()
        )
        + tuple(Security(each, prices[each], quantities[each]) for each in outside),
        cash=cash,
    )


def _plan(
    portfolio: Portfolio,
    solution: Solution,
    rules: Rules,
    tickers: Mapping[str, str],
    kept: Mapping[str, Decimal],
    trade_date: date | None,
) -> Plan:
    restraints = solution.restraints or (None,) * len(portfolio.securities)
    rows = zip(portfolio.securities, solution.quantities, solution.trades, restraints, strict=True)
    value = solution.market_value
    planned = [_planned(*row, value, tickers) for row in rows]
    traded = total(each.value for each in planned)
    return Plan(
        securities=(*planned, *(_kept(each, quantity, tickers) for each, quantity in sorted(kept.items()))),
        market_value=value,
        cash_before=portfolio.cash,
        cash_after=solution.cash_after,
        fees=solution.fees,
        drift_before=_drift(portfolio, [each.quantity for each in portfolio.securities], value),
        drift_after=_drift(portfolio, solution.quantities, value),
        turnover=share(traded, value),
        proof=Proof(
            solution.path, solution.gap, solution.tie_proven, solution.objective, solution.bound, solution.outside
        ),
        warnings=_warnings(solution, kept),
        rules=rules,
        trade_date=trade_date or datetime.now(UTC).date(),
    )


def _planned(
    security: Security,
    quantity: Decimal,
    trade: int | Decimal,
    restraint: Restraint | None,
    market_value: Decimal,
    tickers: Mapping[str, str],
) -> PlannedSecurity:
    before = EXACT.multiply(security.quantity, security.price)
    after = EXACT.multiply(quantity, security.price)
    return PlannedSecurity(
        security_id=security.security_id,
        ticker=tickers.get(security.security_id),
        price=security.price,
        quantity_before=security.quantity,
        quantity_after=quantity or ZERO,
        trade=trade,
        target=security.target,
        low_drift=security.low_drift,
        high_drift=security.high_drift,
        weight_before=share(before, market_value),
        weight_after=share(after, market_value),
        restraint=restraint,
        reason=reason_of(security, quantity, trade, restraint, market_value),
    )


def _kept(security_id: str, quantity: Decimal, tickers: Mapping[str, str]) -> PlannedSecurity:
    return PlannedSecurity(
        security_id=security_id,
        ticker=tickers.get(security_id),
        price=None,
        quantity_before=quantity,
        quantity_after=quantity,
        trade=0,
        target=ZERO,
        low_drift=ZERO,
        high_drift=ZERO,
        weight_before=share(ZERO, ZERO),
        weight_after=share(ZERO, ZERO),
        restraint=Restraint.UNPRICED,
        reason="it has no price and stays as held",
    )


def _drift(portfolio: Portfolio, quantities: "tuple[Decimal, ...] | list[Decimal]", market_value: Decimal) -> Decimal:
    distances = (
        EXACT.abs(
            EXACT.subtract(EXACT.multiply(market_value, security.target), EXACT.multiply(quantity, security.price))
        )
        for security, quantity in zip(portfolio.securities, quantities, strict=True)
    )
    return share(total(distances), market_value)


def _warnings(solution: Solution, kept: Mapping[str, Decimal]) -> tuple[PlanWarning, ...]:
    warnings: list[PlanWarning] = []
    if solution.outside_band:
        names = ", ".join(solution.outside_band)
        message = f"A rule keeps these securities outside their band: {names}."
        warnings.append(PlanWarning("OUTSIDE_BAND", message, solution.outside_band))
    if kept:
        ids = tuple(sorted(kept))
        names = ", ".join(ids)
        message = f"These securities have no price, stay as held and are not part of the market value: {names}."
        warnings.append(PlanWarning("NOT_PRICED", message, ids))
    return tuple(warnings)
