"""The loop that takes grants, calls Channel.io, and settles what came of it."""
