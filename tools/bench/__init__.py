"""Benchmarks of the relay beside alternatives: ``make bench``."""
