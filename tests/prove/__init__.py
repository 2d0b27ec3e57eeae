"""Tests of ``tools/prove``."""
