"""Nouns of the business: event, record, grant, outcome, and errors.

No I/O here, and no import of Flask, Redis or requests.
"""
