"""The events of the bench: the same in Python as in ``load.lua``, with ids as Channel.io's."""

from app.chats.event import OpenChatEvent


def event_id(prefix: str, number: int) -> str:
    """The id of an event."""
    return f"{prefix}-{number:08d}"


def event(prefix: str, number: int) -> OpenChatEvent:
    """An event with one metadata pair, for a user of its own."""
    return OpenChatEvent(
        event_id=event_id(prefix, number),
        user_id=f"6606508eaa71{number:08x}",
        metadata={"order": f"{number:08d}"},
    )


def chat_id(number: int) -> str:
    """20 lowercase hex, as Channel.io's."""
    return f"6b0347059b53{number:08x}"
