"""Members of the stand-in's channel, and their merged users."""

import hashlib
import re
import threading

TEST_PREFIX = "stand-in-"
UNKNOWN_PREFIX = "stand-in-unknown"
MERGED = re.compile(r"(stand-in-merged-)([1-9]\d*)")


class Members:
    """User ids of members; every member exists unless a test or its name says otherwise.

    A member whose id starts with ``stand-in-`` has it as user id too, so that test users work as
    members. ``stand-in-unknown...`` does not exist, and ``stand-in-merged-3`` was merged into
    ``stand-in-merged-2``, and so on. Any thread may use it.
    """

    def __init__(self) -> None:
        """Start with the members by name alone."""
        self._lock = threading.Lock()
        self._user_ids: dict[str, str | None] = {}
        self._unified_ids: dict[str, str] = {}

    def put(self, member_id: str, user_id: str | None) -> None:
        """Give a member this user id; None: the member does not exist."""
        with self._lock:
            self._user_ids[member_id] = user_id

    def merge(self, user_id: str, into: str) -> None:
        """Merge a user into another one, which may be merged itself."""
        with self._lock:
            self._unified_ids[user_id] = into

    def clear(self) -> None:
        """Remove what ``put`` and ``merge`` have set."""
        with self._lock:
            self._user_ids.clear()
            self._unified_ids.clear()

    def user_id_of(self, member_id: str) -> str | None:
        """Return the member's user id, None if the member does not exist."""
        with self._lock:
            if member_id in self._user_ids:
                return self._user_ids[member_id]
        if member_id.startswith(UNKNOWN_PREFIX):
            return None
        if member_id.startswith(TEST_PREFIX):
            return member_id
        return f"m-{hashlib.sha256(member_id.encode()).hexdigest()[:20]}"

    def unified_id_of(self, user_id: str) -> str | None:
        """Return the user that this one was merged into, None if it was not."""
        with self._lock:
            if user_id in self._unified_ids:
                return self._unified_ids[user_id]
        merged = MERGED.fullmatch(user_id)
        return f"{merged[1]}{int(merged[2]) - 1}" if merged else None
