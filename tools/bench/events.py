"""Events of the bench, the same as in ``load.lua``, with ids like Channel.io's."""

from app.chats.event import OpenChatEvent


def event_id(prefix: str, number: int) -> str:
    """Format the id of an event."""
    return f"{prefix}-{number:08d}"


def event(prefix: str, number: int) -> OpenChatEvent:
    """Build an event with one metadata pair, for a user of its own."""
    return OpenChatEvent(
        event_id=event_id(prefix, number),
        user_id=user_id(number),
        metadata={"order": f"{number:08d}"},
    )


def user_id(number: int) -> str:
    """Format a user id: 20 lowercase hex digits, like Channel.io's."""
    return f"6606508eaa71{number:08x}"


def chat_id(number: int) -> str:
    """Format a chat id: 20 lowercase hex digits, like Channel.io's."""
    return f"6b0347059b53{number:08x}"
