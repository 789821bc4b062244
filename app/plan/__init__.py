"""A rebalance from files, without the service."""
