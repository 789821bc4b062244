"""Faults that can befall a simulated service while it runs."""
