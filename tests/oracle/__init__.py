"""Independent judges of the solver: they share nothing with it but its public types."""
