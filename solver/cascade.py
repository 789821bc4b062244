"""The way into the solver: from a portfolio to a verified result, or to the reason why none exists."""

from functools import lru_cache
from time import perf_counter

from msgspec.structs import replace

from solver.problem import InvalidPortfolio, Outcome, Portfolio, SolverStrategy
from solver.rules import InvalidRules, Rules, Unpriced
from solver.wrong_types import wrong_types

_NO_RULES = Rules()
_MILP_MODULES = ("cvxpy", "highspy", "scipy")


class MissingExtra(ImportError):
    """Something was asked for that is installed only with an extra of the distribution."""


def solve(
    portfolio: Portfolio,
    *,
    rules: Rules | None = None,
    strategy: SolverStrategy = SolverStrategy.AUTO,
    time_limit_seconds: float = 30.0,
) -> Outcome:
    """Return the whole shares that bring a portfolio nearest to its targets, or why none exist.

    Minimises the sum of `|market value * target - quantity * price|` over whole shares within every drift band, without
    spending more than there is; among the optima, takes one that trades the fewest shares. The result depends on the
    portfolio alone, not on the machine or on what was solved before.

    Args:
        portfolio: any decimals; nothing is rounded.
        rules: what this rebalance must respect; None for no rules.
        strategy: `auto` for the fastest proof; `milp` for the full integer program, its result proven afterwards.
        time_limit_seconds: after which an unproven result becomes a `TimeLimit`.

    Returns:
        A `Solution`, proven optimal and verified in exact arithmetic; an `Infeasible` with every reason; or a
        `TimeLimit` with the best verified objective and the bound.

    Raises:
        InvalidPortfolio: the portfolio breaks the solver's rules or has a wrong type; names the field.
        InvalidRules: the rules are not `Rules`.
        MissingExtra: the strategy `milp` is not installed.
    """
    started = perf_counter()
    if not (rules is None or isinstance(rules, Rules)):
        raise InvalidRules(
            f"rules: must be Rules, is of type {type(rules).__name__}; solver.rebalance accepts mappings"
        )
    if type(strategy) is not SolverStrategy:
        strategy = _strategy(strategy)
    try:
        return _solve(portfolio, rules, strategy, started, time_limit_seconds)
    except (AttributeError, TypeError):
        problem = wrong_types(portfolio, time_limit_seconds)
        if problem is None:
            raise
        raise InvalidPortfolio(problem) from None
    except ModuleNotFoundError as error:
        if error.name not in _MILP_MODULES:
            raise
        raise MissingExtra(
            f"the strategy milp needs {error.name}, which is not installed: pip install 'globeco-solver[milp]'"
        ) from None


@lru_cache(maxsize=64)
def _matter(rules: Rules) -> bool:
    """Return whether rules change anything; `unpriced` is applied by callers."""
    return replace(rules, unpriced=Unpriced.FAIL) != _NO_RULES


def _strategy(value: str) -> SolverStrategy:
    if value not in SolverStrategy:
        raise InvalidPortfolio(f"strategy: must be auto or milp, is {value!r}")
    return SolverStrategy(value)


def _solve(
    portfolio: Portfolio, rules: Rules | None, strategy: SolverStrategy, started: float, time_limit_seconds: float
) -> Outcome:
    if rules is not None and _matter(rules):
        from solver.ruled.stages import solve_with_rules_in_stages  # noqa: PLC0415

        return solve_with_rules_in_stages(portfolio, rules, strategy, started, time_limit_seconds)
    # Importing numpy takes a tenth of a second, which the process that only hands portfolios on should not pay.
    from solver.stages import solve_in_stages  # noqa: PLC0415

    return solve_in_stages(portfolio, strategy, started, time_limit_seconds)
