"""The tasks of an event at Channel.io: reads, and then at most one write, the last thing sent.

Tasks behind the create look before they act, the first time too: so a repeat after a crash or a
lost answer is the same as a first try.
"""

from hashlib import sha256
from json import dumps
from typing import Any, assert_never
from urllib.parse import quote

from app.channel.answers import classify_read, classify_write
from app.channel.attempt import CallContext, UpstreamResponse
from app.channel.body import read_chat_state, read_message_id, read_messages, read_user
from app.channel.client import ChannelClient
from app.channel.versions import version_of
from app.chats.grant import Grant, Task
from app.chats.outcome import Done, LookFailed, NotFound, Outcome, Refused, Resolved
from app.chats.record import FailureCode

MAX_HOPS = 3
MAX_PAGES = 20
PAGE_MESSAGES = 100
INITIAL = "initial"


class ChannelTasks:
    """Performs the task of a grant through ``client``.

    ``key_prefix`` keeps the request ids of two relays apart; ``bot_name`` is for events without one
    of their own.
    """

    def __init__(self, client: ChannelClient, *, key_prefix: str, bot_name: str | None) -> None:
        self._client = client
        self._key_prefix = key_prefix
        self._bot_name = bot_name
        self._version = version_of(client.base_url)

    def perform(self, grant: Grant, call: CallContext) -> Outcome:
        """Perform the grant's task by ``call``'s deadline. Every end is an outcome."""
        match grant.task:
            case Task.CREATE:
                return self._client.open_chat(grant.user_id or "", call)
            case Task.RESOLVE:
                return self._resolve(grant, call)
            case Task.MESSAGE:
                return self._message(grant, call)
            case Task.OPEN:
                return self._open(grant, call)
            case _:
                assert_never(grant.task)

    def _resolve(self, grant: Grant, call: CallContext) -> Outcome:
        """Find the user of a member, also where users were merged since."""
        path = f"/users/@{_segment(grant.member_id)}"
        status = 0
        for _ in range(1 + MAX_HOPS):
            answer = classify_read(self._client.send("GET", path, call), FailureCode.USER_NOT_FOUND)
            if not isinstance(answer, UpstreamResponse):
                return answer
            status = answer.status
            user = read_user(answer.body, answer.charset)
            if user is None:
                return _unreadable("user", status)
            if user.unified_id is None:
                return Resolved(user.id, status)
            path = f"/users/{_segment(user.unified_id)}"
        detail = f"Channel.io has merged the user more than {MAX_HOPS} times over."
        return Refused(FailureCode.USER_NOT_FOUND, detail, status, has_acted=False)

    def _message(self, grant: Grant, call: CallContext) -> Outcome:
        """Send the message to the published chat, unless it is there (I6)."""
        path = f"/user-chats/{_segment(grant.chat_id)}/messages"
        text = grant.text.get_secret_value() if grant.text else ""
        request_id = self._request_id(grant)
        look = self._look_for_message(path, request_id, text, call)
        if not isinstance(look, NotFound) or grant.is_look_only:
            return look
        body: dict[str, Any] = {"plainText": text, "requestId": request_id}
        if grant.is_private:
            body["options"] = ["private", self._version.silent_option]
        sent = self._client.send("POST", path, call, query=self._bot_query(grant), body=body)
        answer = classify_write(sent)
        if not isinstance(answer, UpstreamResponse):
            return answer
        return Done(
            has_acted=True,
            message_id=read_message_id(answer.body, answer.charset),
            upstream_status=answer.status,
        )

    def _look_for_message(
        self, path: str, request_id: str, text: str, call: CallContext
    ) -> Outcome:
        """Return Done if the message is in the chat, and NotFound if the look reached its end."""
        query = {"sortOrder": "desc", "limit": str(PAGE_MESSAGES)}
        cursors: set[str] = set()
        for _ in range(MAX_PAGES):
            attempt = self._client.send("GET", path, call, query=query)
            answer = classify_read(attempt, FailureCode.CHAT_NOT_FOUND)
            if not isinstance(answer, UpstreamResponse):
                return answer
            page = read_messages(answer.body, answer.charset)
            if page is None:
                return _unreadable("list of messages", answer.status)
            for message in page.messages:
                if message.request_id == request_id or (
                    message.request_id is None and message.text == text
                ):
                    return Done(
                        has_acted=False, message_id=message.id, upstream_status=answer.status
                    )
            if page.is_last:
                return NotFound("The message is not in the chat.", answer.status)
            if page.next is None or page.next in cursors:
                detail = "Channel.io's list of messages does not lead to the chat's first one."
                return LookFailed(detail, answer.status, is_answered=True)
            cursors.add(page.next)
            query["since"] = page.next
        detail = f"The chat's first message is not on its last {MAX_PAGES} pages of messages."
        return LookFailed(detail, is_answered=True)

    def _open(self, grant: Grant, call: CallContext) -> Outcome:
        """Put the chat before the agents, unless it was opened: a person may have closed it."""
        path = f"/user-chats/{_segment(grant.chat_id)}"
        look = self._look_at_state(path, call)
        if not isinstance(look, NotFound) or grant.is_look_only:
            return look
        query = self._bot_query(grant)
        if not query:
            detail = "An open needs a bot name, and neither the event nor BOT_NAME has one."
            return Refused(FailureCode.REJECTED, detail, None, has_acted=False)
        answer = classify_write(self._client.send("PUT", f"{path}/open", call, query=query))
        if not isinstance(answer, UpstreamResponse):
            return answer
        return Done(has_acted=True, upstream_status=answer.status)

    def _look_at_state(self, path: str, call: CallContext) -> Outcome:
        """Return Done if the chat was opened, and NotFound if it was not."""
        answer = classify_read(self._client.send("GET", path, call), FailureCode.CHAT_NOT_FOUND)
        if not isinstance(answer, UpstreamResponse):
            return answer
        state = read_chat_state(answer.body, answer.charset)
        if state is None:
            return _unreadable("state of the chat", answer.status)
        if state == INITIAL:
            return NotFound("The chat was not opened.", answer.status)
        return Done(has_acted=False, upstream_status=answer.status)

    def _bot_query(self, grant: Grant) -> dict[str, str]:
        name = grant.bot_name or self._bot_name
        return {"botName": name} if name else {}

    def _request_id(self, grant: Grant) -> str:
        """Return the same id for every replica, repeat and redrive."""
        name = dumps([self._key_prefix, grant.event_id, grant.chat_id])
        return sha256(name.encode()).hexdigest()[:32]


def _segment(text: str | None) -> str:
    """Return ``text`` as one segment of a path."""
    return quote(text or "", safe="")


def _unreadable(what: str, status: int) -> LookFailed:
    return LookFailed(f"Channel.io answered {status} without a readable {what}.", status)
