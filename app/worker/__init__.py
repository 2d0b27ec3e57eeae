"""The loop that takes grants, calls Channel.io, and settles the results."""
