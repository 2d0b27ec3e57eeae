"""Mirrors ``app`` and ``config``; ``tests.stack`` is also what ``make run`` runs on."""
