"""Tests of the rules of a rebalance against judges that share nothing with the solver."""
