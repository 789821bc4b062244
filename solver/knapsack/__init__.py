"""Bounded knapsacks solved to proven optimality: reduction, greedy choice, exact search."""
