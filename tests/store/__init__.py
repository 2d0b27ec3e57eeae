"""The store, on a real Valkey: what each script promises, and all of them together."""
