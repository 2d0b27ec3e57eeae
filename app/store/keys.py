"""The names of the keys that Python touches; the scripts' header lists the whole key space."""


class Keys:
    """Key names under one prefix, in braces so that all of them are one Redis Cluster slot."""

    def __init__(self, prefix: str) -> None:
        self.tag = f"{{{prefix}}}"
        self.bell = f"{self.tag}:bell"
        self.settled = f"{self.tag}:settled"
        self.audit = f"{self.tag}:audit"

    def event(self, event_id: str) -> str:
        """Return the key of one event's record."""
        return f"{self.tag}:event:{event_id}"

    def forgotten(self, event_id: str) -> str:
        """Return the key that names an event's life that an operator removed."""
        return f"{self.tag}:forgotten:{event_id}"
