"""Mirrors ``app`` and ``config``; ``tools.stack`` is also what ``make run`` runs on."""
