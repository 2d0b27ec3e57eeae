"""The composition root: from settings to clients to collaborators. Nobody else sees everyone.

One module for each kind of process, so that each imports only what it runs.
"""
