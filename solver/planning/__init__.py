"""From holdings, targets, prices and cash to a plan, whatever form they have."""

from solver.planning.exact import InvalidInput
from solver.planning.plan import (
    InfeasiblePlan,
    NoPlan,
    Plan,
    PlannedSecurity,
    PlanWarning,
    Proof,
    UnprovenPlan,
    neutralized,
    proof_sentence,
)
from solver.planning.reasons import reason_of
from solver.planning.rebalancing import rebalance

__all__ = [
    "InfeasiblePlan",
    "InvalidInput",
    "NoPlan",
    "Plan",
    "PlanWarning",
    "PlannedSecurity",
    "Proof",
    "UnprovenPlan",
    "neutralized",
    "proof_sentence",
    "reason_of",
    "rebalance",
]
