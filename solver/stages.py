"""The stages of the cascade: certificate, bounds, exact search or integer program, tie-break, and verification last."""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from operator import add
from time import perf_counter

import numpy as np
from msgspec import Struct

from solver.bounds import ShareBounds, share_bounds
from solver.infeasibility import PREFERRED_HINT, describe, reasons
from solver.knapsack.greedy import pack
from solver.knapsack.reduction import fold_ties, reduce_to_knapsack
from solver.nearest import nearest_shares
from solver.problem import (
    Infeasible,
    InfeasibleReason,
    Outcome,
    Portfolio,
    Solution,
    SolutionPath,
    SolverStrategy,
    TimeLimit,
)
from solver.scaling import EXACT, Integers, ScaledPortfolio, scale
from solver.verification import VerificationError, Verified, verify

MILP_PART = 0.9
"""Part of the time limit that the integer program may use; the rest proves or replaces its result."""

SEARCH_STATES = 250_000
"""Partial choices that the search for the optimum holds at once; some 60 MB while their number doubles."""

TIE_STATES = 100_000
"""Partial choices that the tie-break may hold: enough for all but contrived ties, and gone through in a second."""

TIE_WORK = 5_000_000
"""Partial choices that the tie-break may examine. A limit in seconds would make trades depend on the machine."""

ABUNDANT, ABUNDANT_PART = 50_000, 10
"""Copies of a share from which the tie-break has only a part of its limits: more seldom helps."""


class TimedProblem(Struct, frozen=True):
    """A portfolio under way. Moments are those of `time.perf_counter()`."""

    portfolio: Portfolio
    scaled: ScaledPortfolio
    started: float
    deadline: float


class Proven(Struct, frozen=True):
    """Shares that no others are better than: their objective is the bound."""

    verified: Verified
    tie_proven: bool
    path: SolutionPath


def solve_in_stages(
    portfolio: Portfolio, strategy: SolverStrategy, started: float, time_limit_seconds: float
) -> Outcome:
    """See `solver.cascade.solve`; `started` is when the caller asked."""
    scaled = scale(portfolio)
    problem = TimedProblem(portfolio, scaled, started, started + time_limit_seconds)
    if strategy is SolverStrategy.AUTO:
        certified = _certified(scaled, nearest_shares(scaled))
        if certified is not None:
            return _solution(problem, certified)
    bounds = share_bounds(scaled)
    found = reasons(portfolio, scaled, bounds)
    if found:
        return _infeasible(problem, found)
    proven = _full_milp(problem, bounds) if strategy is SolverStrategy.MILP else _exact(problem, bounds, None)
    return proven if isinstance(proven, TimeLimit) else _solution(problem, proven)


def _infeasible(problem: TimedProblem, found: tuple[InfeasibleReason, ...]) -> Infeasible:
    """Return all reasons; with preferred bands nothing must be held but the fractions that cannot be sold."""
    scaled = problem.scaled
    preferred = 0 <= scaled.market_value >= int(scaled.fractions.sum())
    return Infeasible(
        found,
        f"{describe(found)} {PREFERRED_HINT}" if preferred else describe(found),
        scaled.cash_money(scaled.market_value),
        perf_counter() - problem.started,
        preferred_feasible=preferred,
    )


def _full_milp(problem: TimedProblem, bounds: ShareBounds) -> Proven | TimeLimit:
    """Run the integer program, then the usual proof and tie-break, which may find a better result."""
    # CVXPY is not worth loading where no portfolio is sent through it.
    from solver.milp import solve_milp  # noqa: PLC0415

    remaining = problem.deadline - perf_counter()
    # HiGHS takes a limit in the past for a mistake.
    shares = (
        solve_milp(problem.scaled, bounds, MILP_PART * remaining)
        if remaining > 0 and len(problem.scaled.prices)
        else None
    )
    candidate = None if shares is None else _verified(problem.scaled, shares)
    proven = _exact(problem, bounds, candidate)
    if isinstance(proven, Proven) and candidate is not None and candidate.objective == proven.verified.objective:
        return Proven(proven.verified, proven.tie_proven, SolutionPath.FULL_MILP)
    return proven


def _exact(problem: TimedProblem, bounds: ShareBounds, candidate: Verified | None) -> Proven | TimeLimit:
    """Return the optimum with its proof; another stage's candidate counts if no better one is found in time."""
    scaled = problem.scaled
    nearest = np.minimum(np.maximum(nearest_shares(scaled), bounds.lowest), bounds.highest)
    if int((nearest * scaled.prices + scaled.fractions).sum()) <= scaled.market_value:
        certified = _certified(scaled, nearest)
        if certified is not None:
            return certified
    order = _by_name(problem.portfolio)
    reduction = reduce_to_knapsack(scaled, bounds, order)
    packing = pack(
        reduction.items, reduction.capacity, deadline=problem.deadline, max_states=SEARCH_STATES, persist=True
    )
    bound = reduction.base - packing.bound
    best = verify(scaled, reduction.shares(packing.copies or ()), bound)
    if candidate is not None and candidate.objective < best.objective:
        best = verify(scaled, candidate.shares, bound)
    if best.objective != bound:
        return TimeLimit(scaled.money(best.objective), scaled.money(bound), perf_counter() - problem.started)
    return _tie_broken(problem, bounds, order, best, reduction.base - best.objective)


def _tie_broken(
    problem: TimedProblem, bounds: ShareBounds, order: Sequence[int], best: Verified, profit: int
) -> Proven:
    """Return the optimum that trades the fewest shares; the known one if the search for it is abandoned."""
    folded, factor = fold_ties(problem.scaled, bounds, order)
    part = ABUNDANT_PART if any(item.copies >= ABUNDANT for item in folded.items) else 1
    packing = pack(
        folded.items,
        folded.capacity,
        deadline=problem.deadline,
        max_states=TIE_STATES // part,
        persist=False,
        floor=(profit - 1) * factor,
        max_work=TIE_WORK // part,
    )
    if packing.copies is not None:
        fewest = verify(problem.scaled, folded.shares(packing.copies), best.objective)
        if fewest.objective == best.objective:
            return Proven(fewest, packing.profit == packing.bound, SolutionPath.KNAPSACK)
    return Proven(best, tie_proven=False, path=SolutionPath.KNAPSACK)


def _by_name(portfolio: Portfolio) -> list[int]:
    """Return the indices of the securities by id, so that the optimum found does not depend on their order."""
    securities = portfolio.securities
    return sorted(range(len(securities)), key=lambda index: securities[index].security_id)


def _certified(scaled: ScaledPortfolio, nearest: Integers) -> Proven | None:
    """Return the nearest shares as a proven optimum, if they satisfy every constraint."""
    verified = _verified(scaled, nearest)
    return None if verified is None else Proven(verified, tie_proven=True, path=SolutionPath.ROUNDING)


def _verified(scaled: ScaledPortfolio, shares: Integers) -> Verified | None:
    """Return shares as verified, or None if they break a constraint."""
    try:
        return verify(scaled, shares)
    except VerificationError:
        return None


def _solution(problem: TimedProblem, proven: Proven) -> Solution:
    scaled, verified = problem.scaled, proven.verified
    held = [security.quantity for security in problem.portfolio.securities]
    trades = tuple(verified.trades.tolist())
    with localcontext(EXACT):
        quantities = tuple(map(add, held, map(Decimal, trades)))
    objective = scaled.money(verified.objective)
    nothing = scaled.market_value == 0 and not any(trades)
    return Solution(
        trades=trades,
        quantities=quantities,
        market_value=scaled.cash_money(scaled.market_value),
        cash_after=scaled.cash_money(verified.cash_after),
        objective=objective,
        bound=objective,
        tie_proven=proven.tie_proven,
        path=SolutionPath.NOTHING_TO_DO if nothing else proven.path,
        seconds=perf_counter() - problem.started,
        restraints=(None,) * len(trades),
    )
