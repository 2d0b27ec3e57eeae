"""What an event, a record, a grant and an outcome promise."""
