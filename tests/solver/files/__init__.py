"""Tests of a rebalance from files."""
