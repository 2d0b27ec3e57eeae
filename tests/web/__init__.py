"""The HTTP contract, over the application as it is served."""
