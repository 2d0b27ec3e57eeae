"""Composition root: settings, clients, collaborators. Only this package imports all parts.

One module for each kind of process, so that each imports only what it runs.
"""
