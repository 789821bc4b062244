"""Tests of the command `order-generation plan`."""
