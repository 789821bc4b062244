"""The service: HTTP, settings, the orchestration of a rebalance, observability and the command line."""
