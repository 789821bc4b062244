"""Stateless optimisation: the request contains everything, and nothing is read or stored."""
