"""Parts of tests and local stack: embedded Valkey and Channel.io's stand-in."""
