"""The business: what an event, a record, a grant and an outcome are, and what each outcome means.

Nothing here does I/O or knows Flask, Redis or requests.
"""
