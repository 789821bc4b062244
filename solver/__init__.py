"""Whole-share portfolio rebalancing with a proof: exact bounds, exact optima, named infeasibility."""

from solver.cascade import solve
from solver.problem import (
    CashShortfall,
    Crashed,
    Infeasible,
    InfeasibleReason,
    InvalidPortfolio,
    Minimum,
    NegativeMarketValue,
    NoWholeShare,
    Outcome,
    Portfolio,
    Security,
    Solution,
    SolutionPath,
    SolverStrategy,
    TimeLimit,
)

__all__ = [
    "CashShortfall",
    "Crashed",
    "Infeasible",
    "InfeasibleReason",
    "InvalidPortfolio",
    "Minimum",
    "NegativeMarketValue",
    "NoWholeShare",
    "Outcome",
    "Portfolio",
    "Security",
    "Solution",
    "SolutionPath",
    "SolverStrategy",
    "TimeLimit",
    "solve",
]
