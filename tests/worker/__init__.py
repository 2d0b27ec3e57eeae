"""The worker: its loop, its spool and its process."""
