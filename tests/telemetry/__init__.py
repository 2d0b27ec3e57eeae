"""Tests of ``app/telemetry``."""
