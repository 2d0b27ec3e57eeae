"""Differences between the versions of Channel.io's API, as far as the relay meets them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChannelVersion:
    """A version's facts. ``silent_option`` keeps a private message from notifying the user."""

    silent_option: str


_V4 = ChannelVersion(silent_option="silent")
_LATER = ChannelVersion(silent_option="silentToUser")


def version_of(base_url: str) -> ChannelVersion:
    """Return the facts of the version that ``base_url`` leads to."""
    return _V4 if base_url.endswith("/v4") else _LATER
