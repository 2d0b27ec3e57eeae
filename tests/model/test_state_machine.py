"""Tests of the state machine: random interleavings of workers over one Redis."""

from tools.model.state_machine import EXAMPLES, try_interleavings
from tools.stack.redis_client import Client


def test_every_interleaving_keeps_the_invariants(client: Client) -> None:
    """I1 to I5 hold, whatever is lost, late or repeated. ``make prove`` tries more."""
    try_interleavings(client, EXAMPLES)
