"""Trace context and OTLP export."""
