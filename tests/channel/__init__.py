"""The client of Channel.io, against the stand-in and against raw sockets."""
