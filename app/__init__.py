"""The relay: one accepted event, one chat at Channel.io, one published id."""
