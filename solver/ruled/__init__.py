"""Rebalancing by rules: allowed quantities as progressions, certificate, exact search, and verification."""
