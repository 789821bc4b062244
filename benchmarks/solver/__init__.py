"""The solver against the other ways to rebalance in whole shares, on the same portfolios: speed and right responses."""
