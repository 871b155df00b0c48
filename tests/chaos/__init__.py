"""Faults at random, from a seed, against a running system: nothing may be lost, doubled or stuck."""
