"""Faults of a simulated service, which can be changed while it runs."""
