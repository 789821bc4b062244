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
from solver.rules import Bands, Direction, Goal, InvalidRules, LotSize, Restraint, Rules, TradeScope, Unpriced

__all__ = [
    "Bands",
    "CashShortfall",
    "Crashed",
    "Direction",
    "Goal",
    "Infeasible",
    "InfeasibleReason",
    "InvalidPortfolio",
    "InvalidRules",
    "LotSize",
    "Minimum",
    "NegativeMarketValue",
    "NoWholeShare",
    "Outcome",
    "Portfolio",
    "Restraint",
    "Rules",
    "Security",
    "Solution",
    "SolutionPath",
    "SolverStrategy",
    "TimeLimit",
    "TradeScope",
    "Unpriced",
    "solve",
]
