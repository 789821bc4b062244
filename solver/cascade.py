"""Portfolio to a verified answer: bounds, certificate, exact search or integer program, tie-break, verification."""

from decimal import Decimal
from time import perf_counter

from msgspec import Struct

from solver.bounds import ShareBounds, share_bounds
from solver.infeasibility import describe, least_value, reasons
from solver.problem import Infeasible, Outcome, Portfolio, Solution, SolutionPath, SolverStrategy, TimeLimit
from solver.reduction import fold_ties, reduce_to_knapsack
from solver.rounding import round_to_nearest
from solver.scaling import EXACT, ScaledPortfolio, scale, unscaled
from solver.verification import VerificationError, verify

PROOF_SHARE = 0.9
"""Part of the time limit that an integer program may use; the rest proves or replaces its answer."""

TIE_STATES = 200_000
"""States at once that the tie-break may hold; enough for all but contrived ties, and gone through in seconds."""


def solve(
    portfolio: Portfolio, *, strategy: SolverStrategy = SolverStrategy.AUTO, time_limit_seconds: float = 30.0
) -> Outcome:
    """The whole shares that bring a portfolio nearest to its targets, verified, or why there are none.

    Args:
        portfolio: any decimals; nothing is rounded.
        strategy: `auto` for the fastest proof, `milp` for the full integer program, proven afterwards.
        time_limit_seconds: after which an unproven answer becomes a `TimeLimit`.

    Returns:
        A `Solution` that is proven optimal and verified in exact arithmetic, an `Infeasible` with every reason, or a
        `TimeLimit` with the best verified objective and the bound.

    Raises:
        InvalidPortfolio: the portfolio breaks the solver's rules; names the field.
    """
    started = perf_counter()
    scaled = scale(portfolio)
    if scaled.market_value == 0:
        return _nothing_to_do(portfolio, started)
    bounds = share_bounds(scaled)
    found = reasons(portfolio, scaled, bounds)
    if found:
        return Infeasible(
            reasons=found,
            message=describe(found),
            market_value=unscaled(scaled.market_value, scaled.money_places),
            seconds=perf_counter() - started,
        )
    task = _Task(portfolio, scaled, bounds, least_value(scaled, bounds), started, started + time_limit_seconds)
    if strategy is SolverStrategy.MILP:
        return _solve_full_milp(task, time_limit_seconds)
    answer = _exact_answer(task, None)
    return answer if isinstance(answer, TimeLimit) else _solution(task, answer, answer.path)


class _Task(Struct, frozen=True):
    portfolio: Portfolio
    scaled: ScaledPortfolio
    bounds: ShareBounds
    least_value: int
    started: float
    deadline: float


class _Answer(Struct, frozen=True):
    """Whole shares with a proof that no others are better."""

    shares: list[int]
    bound: Decimal
    tie_proven: bool
    path: SolutionPath


def _solve_full_milp(task: _Task, time_limit_seconds: float) -> Solution | TimeLimit:
    """The full integer program, then the same proof and tie-break as everywhere; an answer it got wrong is replaced."""
    from solver.milp import solve_full  # noqa: PLC0415 - only solver processes may load CVXPY

    shares = solve_full(task.scaled, task.bounds, task.least_value, time_limit_seconds * PROOF_SHARE)
    candidate = None if shares is None else _verified_objective(task, shares)
    answer = _exact_answer(task, None if candidate is None or shares is None else (shares, candidate))
    if isinstance(answer, TimeLimit):
        return answer
    return _solution(task, answer, SolutionPath.FULL_MILP if candidate == answer.bound else answer.path)


def _exact_answer(task: _Task, candidate: tuple[list[int], Decimal] | None) -> _Answer | TimeLimit:
    """The optimum with its proof; a verified candidate from elsewhere stands in where the proof takes too long."""
    scaled, bounds = task.scaled, task.bounds
    nearest = round_to_nearest(scaled, bounds)
    unit = 10 ** (scaled.money_places - scaled.price_places)
    cost = sum(price * shares for price, shares in zip(scaled.prices, nearest, strict=True)) * unit
    if cost + sum(scaled.fraction_values) <= scaled.market_value:
        return _Answer(nearest, _objective(bounds, nearest), True, SolutionPath.ROUNDING)
    return _solve_binding(task, candidate)


def _solve_binding(task: _Task, candidate: tuple[list[int], Decimal] | None) -> _Answer | TimeLimit:
    """The cash does not allow every security its nearest shares: a knapsack decides which ones."""
    from solver.knapsack import pack  # noqa: PLC0415 - numpy is not worth loading before cash first binds

    reduction = reduce_to_knapsack(task.scaled, task.bounds, task.least_value)
    packing = pack(reduction.items, reduction.capacity, deadline=task.deadline)
    bound = unscaled(reduction.base - packing.bound, task.bounds.fine_places)
    shares = list(reduction.lowest)
    for item, count in zip(reduction.items, packing.copies or (), strict=True):
        shares[item.security] += count
    path = SolutionPath.KNAPSACK
    objective = _verified_objective(task, shares)
    if candidate is not None and (objective is None or candidate[1] < objective):
        shares, objective = candidate
        path = SolutionPath.FULL_MILP
    remaining = task.deadline - perf_counter()
    if objective != bound and candidate is None and remaining > 0:
        from solver.milp import solve_reduced  # noqa: PLC0415 - only solver processes may load CVXPY

        reduced = solve_reduced(reduction, remaining)
        better = None if reduced is None else _verified_objective(task, reduced)
        if reduced is not None and better is not None and (objective is None or better < objective):
            shares, objective, path = reduced, better, SolutionPath.REDUCED_MILP
    if objective != bound:
        return TimeLimit(objective=objective, bound=bound, seconds=perf_counter() - task.started)
    profit = packing.bound
    folded, factor = fold_ties(task.scaled, task.bounds, task.least_value)
    tie = pack(
        folded.items,
        folded.capacity,
        deadline=task.deadline,
        max_states=TIE_STATES,
        floor=profit * factor - factor,
    )
    if tie.copies is None or tie.profit != tie.bound:
        return _Answer(shares, bound, False, path)
    shares = list(folded.lowest)
    for item, count in zip(folded.items, tie.copies, strict=True):
        shares[item.security] += count
    return _Answer(shares, bound, True, path)


def _objective(bounds: ShareBounds, shares: list[int]) -> Decimal:
    total = sum(
        abs(remainder + (below - count) * price)
        for remainder, below, price, count in zip(
            bounds.remainders, bounds.below, bounds.fine_prices, shares, strict=True
        )
    )
    return unscaled(total, bounds.fine_places)


def _trades(task: _Task, shares: list[int]) -> tuple[int, ...]:
    return tuple(count - held for count, held in zip(shares, task.scaled.held, strict=True))


def _verified_objective(task: _Task, shares: list[int]) -> Decimal | None:
    """What the shares are worth, or None where they break a constraint."""
    try:
        return verify(task.portfolio, _trades(task, shares)).objective
    except VerificationError:
        return None


def _solution(task: _Task, answer: _Answer, path: SolutionPath) -> Solution:
    trades = _trades(task, answer.shares)
    verified = verify(task.portfolio, trades, answer.bound)
    return Solution(
        trades=trades,
        quantities=verified.quantities,
        market_value=verified.market_value,
        cash_after=verified.cash_after,
        objective=verified.objective,
        bound=answer.bound,
        tie_proven=answer.tie_proven,
        path=path,
        seconds=perf_counter() - task.started,
    )


def _nothing_to_do(portfolio: Portfolio, started: float) -> Solution:
    """A portfolio worth nothing keeps what it has: no share of nothing is worth trading for."""
    securities = portfolio.securities
    objective = sum((abs(EXACT.multiply(security.quantity, security.price)) for security in securities), Decimal(0))
    return Solution(
        trades=(0,) * len(securities),
        quantities=tuple(security.quantity for security in securities),
        market_value=Decimal(0),
        cash_after=portfolio.cash,
        objective=objective,
        bound=objective,
        tie_proven=True,
        path=SolutionPath.NOTHING_TO_DO,
        seconds=perf_counter() - started,
    )
