"""What the tests and the local stack share: an embedded Valkey, and the stand-in of Channel.io."""
