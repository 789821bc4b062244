"""Facts about a completed portfolio that its reader should know."""

from collections.abc import Sequence

from app.solver_task.assignment import Assignment
from persistence import PortfolioWarning
from solver import Solution

NAMED = 5
"""Securities that a message names; the warning has all of their ids."""


def warnings_of(assignment: Assignment, solution: Solution) -> tuple[PortfolioWarning, ...]:
    """Return the warnings of a solved portfolio."""
    warnings = []
    if not assignment.has_balances:
        message = "Portfolio Accounting has no balances of this portfolio: it is empty or does not exist."
        warnings.append(PortfolioWarning("NO_BALANCES", message))
    if outside := solution.outside_band:
        message = f"A rule keeps {named(outside)} outside the drift band."
        warnings.append(PortfolioWarning("OUTSIDE_BAND", message, outside))
    if unpriced := tuple(held.security_id for held in assignment.others if held.price is None):
        message = f"There is no price for {named(unpriced)}: held unchanged, and not part of the market value."
        warnings.append(PortfolioWarning("NOT_PRICED", message, unpriced))
    return tuple(warnings)


def named(security_ids: Sequence[str]) -> str:
    """Name securities in a sentence, the first few of many."""
    more = len(security_ids) - NAMED
    listed = ", ".join(security_ids[:NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"{'security' if len(security_ids) == 1 else 'securities'} {listed}"
