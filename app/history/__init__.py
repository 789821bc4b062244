"""Stored rebalances: list, read and delete them."""
