"""Chaos: the whole service on real processes while everything around it, and in it, fails."""
