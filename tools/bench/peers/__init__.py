"""Alternatives that the relay is measured against, each as small as possible."""
