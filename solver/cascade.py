"""The way into the solver: from a portfolio to a verified answer, or to the reason why there is none."""

from time import perf_counter

from msgspec.structs import replace

from solver.problem import Outcome, Portfolio, SolverStrategy
from solver.rules import Rules, Unpriced

_NO_RULES = Rules()


def solve(
    portfolio: Portfolio,
    *,
    rules: Rules | None = None,
    strategy: SolverStrategy = SolverStrategy.AUTO,
    time_limit_seconds: float = 30.0,
) -> Outcome:
    """The whole shares that bring a portfolio nearest to its targets, or why there are none.

    Minimises the sum of `|market value * target - quantity * price|` over whole shares within every drift band, without
    spending more than there is; among the optima, takes one that trades the fewest shares. The answer depends on the
    portfolio alone, not on the machine or on what was solved before.

    Args:
        portfolio: any decimals; nothing is rounded.
        rules: what this rebalance must respect; None for no rules.
        strategy: `auto` for the fastest proof; `milp` for the full integer program, its answer proven afterwards.
        time_limit_seconds: after which an unproven answer becomes a `TimeLimit`.

    Returns:
        A `Solution`, proven optimal and verified in exact arithmetic; an `Infeasible` with every reason; or a
        `TimeLimit` with the best verified objective and the bound.

    Raises:
        InvalidPortfolio: the portfolio breaks the solver's rules; names the field.
    """
    started = perf_counter()
    if rules is not None and replace(rules, unpriced=Unpriced.FAIL) != _NO_RULES:
        from solver.ruled.stages import answer as answer_by_rules  # noqa: PLC0415

        return answer_by_rules(portfolio, rules, strategy, started, time_limit_seconds)
    # Importing numpy takes a tenth of a second, which the process that only hands portfolios on should not pay.
    from solver.stages import answer  # noqa: PLC0415

    return answer(portfolio, strategy, started, time_limit_seconds)
