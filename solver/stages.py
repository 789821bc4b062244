"""The stages of the cascade: certificate, bounds, exact search or integer program, tie-break, and verification last."""

from collections.abc import Sequence
from operator import attrgetter, mul
from time import perf_counter

import numpy as np
from msgspec import Struct

from solver.bounds import ShareBounds, share_bounds
from solver.infeasibility import PREFERRED_HINT, describe, reasons
from solver.knapsack.greedy import pack
from solver.knapsack.reduction import Reduction, fold_ties, reduce_to_knapsack
from solver.knapsack.search import UNLIMITED
from solver.nearest import nearest_shares
from solver.plain import (
    MOST_IN_LISTS,
    PlainPortfolio,
    bounds_in_lists,
    in_arrays,
    in_lists,
    nearest_plain,
    plain_bounds,
    scale_plain,
)
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
from solver.scaling import EXACT, Integers, ScaledPortfolio, Units, scale
from solver.verification import VerificationError, Verified, verify, verify_plain

MILP_PART = 0.9
"""Part of the time limit that the integer program may use; the rest proves or replaces its result."""

SEARCH_STATES = 250_000
"""Partial choices that the search for the optimum holds at once; some 60 MB while their number doubles."""

TIE_STATES = 100_000
"""Partial choices that the tie-break may hold: enough for all but contrived ties, and gone through in a second."""

TIE_WORK = 5_000_000
"""Partial choices that the tie-break may examine. A limit in seconds would make trades depend on the machine."""

ABUNDANT, ABUNDANT_PART = 50_000, 10
"""Copies of a share from which the tie-break has only a part of its limits, and is not sought at once."""


AT_ONCE, AT_ONCE_WORK = 1_000, 8_000
"""Partial choices that the search for optimum and tie-break at once examines; the second is for all securities."""

FEW_AT_ONCE, UNPRUNED = 10, 32
"""Securities above which that search ends at that many partial choices if it could not drop one: the shares gain the
same per unit of money. Of 31 such books of 12 to 20 securities, it solved none."""


class TimedProblem(Struct, frozen=True):
    """A portfolio under way. Moments are those of `time.perf_counter()`.

    Attributes:
        portfolio, scaled: the portfolio, and in whole numbers.
        started: when the caller asked.
        deadline: the end of the time limit.
        at_once: one search for optimum and tie-break has not been tried yet.
    """

    portfolio: Portfolio
    scaled: ScaledPortfolio
    started: float
    deadline: float
    at_once: bool


class Proven(Struct, frozen=True):
    """Shares that no others are better than: their objective is the bound."""

    verified: Verified
    tie_proven: bool
    path: SolutionPath


def solve_in_stages(
    portfolio: Portfolio, strategy: SolverStrategy, started: float, time_limit_seconds: float
) -> Outcome:
    """See `solver.cascade.solve`; `started` is when the caller asked."""
    deadline = started + time_limit_seconds
    form = _scaled(portfolio)
    if strategy is SolverStrategy.AUTO:
        if isinstance(form, PlainPortfolio):
            proven = _plainly(portfolio, form, deadline)
        else:
            proven = _certified(form, nearest_shares(form))
        if proven is not None:
            return _solution(portfolio, form, proven, started)
    scaled = in_arrays(form) if isinstance(form, PlainPortfolio) else form
    problem = TimedProblem(portfolio, scaled, started, deadline, at_once=scaled is form)
    bounds = share_bounds(scaled)
    found = reasons(portfolio, scaled, bounds)
    if found:
        return _infeasible(problem, found)
    result = _full_milp(problem, bounds) if strategy is SolverStrategy.MILP else _exact(problem, bounds, None)
    return result if isinstance(result, TimeLimit) else _solution(portfolio, scaled, result, started)


def _scaled(portfolio: Portfolio) -> PlainPortfolio | ScaledPortfolio:
    """Return a portfolio in whole numbers in the faster form; arrays of large numbers are slower than lists of them."""
    if len(portfolio.securities) <= MOST_IN_LISTS:
        return scale_plain(portfolio)
    scaled = scale(portfolio)
    return in_lists(scaled) if scaled.prices.dtype == object else scaled


def _plainly(portfolio: Portfolio, plain: PlainPortfolio, deadline: float) -> Proven | None:
    """Return the optimum with its tie-break, worked out in lists; None if it does not exist or is not found soon."""
    nearest = nearest_plain(plain)
    try:
        return Proven(verify_plain(plain, nearest), tie_proven=True, path=SolutionPath.ROUNDING)
    except VerificationError:
        bounds = plain_bounds(plain)
    if bounds is None:
        return None
    within = [
        min(max(number, lowest), highest)
        for number, lowest, highest in zip(nearest, bounds.lowest, bounds.highest, strict=True)
    ]
    if sum(map(mul, within, plain.prices)) + sum(plain.fractions) <= plain.market_value:
        return Proven(verify_plain(plain, within), tie_proven=True, path=SolutionPath.ROUNDING)
    folded, factor = fold_ties(plain, bounds, _by_name(portfolio))
    return _at_once(plain, folded, factor, deadline)


def _at_once(plain: PlainPortfolio, folded: Reduction, factor: int, deadline: float) -> Proven | None:
    """Return the optimum and its tie-break from one search; None if little work does not find them."""
    if any(item.copies >= ABUNDANT for item in folded.items):
        return None
    work = min(AT_ONCE, AT_ONCE_WORK // len(plain.prices))
    packing = pack(
        folded.items,
        folded.capacity,
        deadline=deadline,
        max_states=work,
        persist=False,
        max_work=work,
        max_unpruned=UNPRUNED if len(plain.prices) > FEW_AT_ONCE else UNLIMITED,
    )
    if packing.copies is None or packing.profit < packing.bound:
        return None
    bound = folded.base - (2 * packing.bound + factor) // (2 * factor)
    verified = verify_plain(plain, folded.shares(packing.copies), bound)
    return Proven(verified, tie_proven=True, path=SolutionPath.KNAPSACK) if verified.objective == bound else None


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
    proven = _exact(problem, bounds, None if candidate is None else shares)
    if isinstance(proven, Proven) and candidate is not None and candidate.objective == proven.verified.objective:
        return Proven(proven.verified, proven.tie_proven, SolutionPath.FULL_MILP)
    return proven


def _exact(problem: TimedProblem, bounds: ShareBounds, candidate: Integers | None) -> Proven | TimeLimit:
    """Return the optimum with its proof; another stage's candidate counts if no better one is found in time."""
    scaled = problem.scaled
    nearest = np.minimum(np.maximum(nearest_shares(scaled), bounds.lowest), bounds.highest)
    if int((nearest * scaled.prices + scaled.fractions).sum()) <= scaled.market_value:
        certified = _certified(scaled, nearest)
        if certified is not None:
            return certified
    order = _by_name(problem.portfolio)
    plain, listed = in_lists(scaled), bounds_in_lists(bounds)
    folded, factor = fold_ties(plain, listed, order)
    if problem.at_once:
        at_once = _at_once(plain, folded, factor, problem.deadline)
        if at_once is not None:
            return at_once
    reduction = reduce_to_knapsack(plain, listed, order)
    packing = pack(
        reduction.items, reduction.capacity, deadline=problem.deadline, max_states=SEARCH_STATES, persist=True
    )
    bound = reduction.base - packing.bound
    best = verify(scaled, _array(scaled, reduction.shares(packing.copies or ())), bound)
    if candidate is not None:
        best = min(best, verify(scaled, candidate, bound), key=attrgetter("objective"))
    if best.objective != bound:
        return TimeLimit(scaled.money(best.objective), scaled.money(bound), perf_counter() - problem.started)
    return _tie_broken(problem, folded, factor, best)


def _tie_broken(problem: TimedProblem, folded: Reduction, factor: int, best: Verified) -> Proven:
    """Return the optimum that trades the fewest shares; the known one if the search for it is abandoned."""
    part = ABUNDANT_PART if any(item.copies >= ABUNDANT for item in folded.items) else 1
    packing = pack(
        folded.items,
        folded.capacity,
        deadline=problem.deadline,
        max_states=TIE_STATES // part,
        persist=False,
        floor=(folded.base - best.objective - 1) * factor,
        max_work=TIE_WORK // part,
    )
    if packing.copies is not None:
        fewest = verify(problem.scaled, _array(problem.scaled, folded.shares(packing.copies)), best.objective)
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


def _array(scaled: ScaledPortfolio, shares: Sequence[int]) -> Integers:
    return np.array(shares, dtype=scaled.prices.dtype)


def _solution(portfolio: Portfolio, scaled: Units, proven: Proven, started: float) -> Solution:
    verified = proven.verified
    trades = tuple(verified.trades)
    quantities = tuple(map(EXACT.add, [security.quantity for security in portfolio.securities], trades))
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
        seconds=perf_counter() - started,
        restraints=(None,) * len(trades),
    )
