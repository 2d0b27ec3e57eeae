"""What each field means: by schema and field, and under ``""`` what the schema is."""

MEANINGS: dict[str, dict[str, str]] = {
    "OpenChatEvent": {
        "": "An event: open a chat for this user. Unknown fields and repeated keys are errors.",
        "event_id": "The idempotency key: however often an event is sent, it is accepted once."
        " Required here, or as the header `Idempotency-Key`.",
        "user_id": "Channel.io's id of the user.",
        "occurred_at": "When it happened: RFC 3339 with an offset. Not more than five minutes"
        " ahead; before the deduplication window, an event that is not known is refused.",
        "on_unknown": "What is to be done once nobody can know whether the call made a chat:"
        " `hold` the event for a person, or `recreate` the chat at the risk of a second one."
        " The relay's setting, where nothing is said here.",
        "metadata": "Kept, returned, never used: at most 10 pairs of strings, and 1024 bytes as"
        " compact JSON in UTF-8.",
    },
    "Record": {
        "": "What the relay keeps of an event. Fields may be added: ignore those you do not know.",
        "event_id": "As it was posted.",
        "user_id": "As it was posted.",
        "status": "Where the event stands.",
        "created": "`true`: there is a chat, and `chat.id` never changes. `false`: nothing was"
        " made. `null`: nobody can know yet, or ever.",
        "chat": "The chat, once there is one.",
        "session": "Channel.io's session of the chat; `null` is normal.",
        "user_session": "Channel.io's session of the user; `null` is normal.",
        "failure": "Why the event failed, or is held.",
        "attempts": "How many calls were granted to it, less those that were given back unused.",
        "possible_orphan": "A second create was sent by consent: there may be an empty chat that"
        " nobody refers to.",
        "duplicate_chat_ids": "Chats that came to light after this event's was published.",
        "accepted_at": "When the relay accepted it.",
        "settled_at": "When it was opened or failed.",
        "expires_at": "Until when the record is kept, and the `event_id` stands for this event.",
        "metadata": "As it was posted; `{}` where there was none.",
    },
    "Chat": {
        "": "A chat at Channel.io.",
        "id": "The published id.",
        "channel_id": "The channel it is in.",
        "state": "Its state when it was made.",
    },
    "Session": {
        "": "A session at Channel.io.",
        "id": "Its id.",
        "key": "Channel.io's name for it in its own addresses and events.",
    },
    "Failure": {
        "": "Why an event failed or is held.",
        "code": "One of a closed list.",
        "detail": "The same for people.",
        "upstream_status": "The HTTP status of Channel.io's answer, if one came.",
    },
    "FailureCode": {
        "": "`user_not_found`, `rejected`, `expired` and `abandoned` are final;"
        " `no_answer`, `unreadable_answer` and `worker_lost` hold the event.",
    },
    "Status": {
        "": "`accepted` and `calling` are under way, `opened` and `failed` are settled, `unknown`"
        " is held: nobody can know whether there is a chat.",
    },
    "OnUnknown": {"": "What is to be done once nobody can know."},
}
