"""Model of an event's tasks: resolve, create, message and open."""
