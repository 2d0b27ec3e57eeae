"""Tests of ``tools/bench``."""
