"""Tests of stateless optimisation."""
