"""Tests of `solver.rebalance` and of what it accepts and returns."""
