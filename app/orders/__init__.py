"""Orders: the trades of stored rebalances, sent to the Order Service, each at most once."""
