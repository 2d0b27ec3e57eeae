"""Fault proofs: everything is broken on purpose, and one table shows the result."""
