"""Tests of ``tools/model``."""
