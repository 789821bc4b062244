"""Whole-share portfolio rebalancing with a proof: exact bounds, exact optima, named infeasibility."""
