"""Local stack: embedded Valkey, a stand-in for Channel.io, and the relay's processes."""
