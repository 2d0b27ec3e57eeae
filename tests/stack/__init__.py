"""Tests of ``tools/stack``."""
