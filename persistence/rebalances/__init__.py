"""Rebalances: stored, read, deleted, and cleaned up after a crash."""
