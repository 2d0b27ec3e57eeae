"""Reasons to refuse an event that its schema allows: rules that JSON Schema cannot express."""

# Problems that depend on what was accepted before, and faults that depend on the clock, the
# calendar, the request's headers, or on all of a body together.
BEYOND = {
    "/problems/event-id-reused",
    "/problems/event-too-old",
    "is not a time that exists",
    "must not be more than 5 minutes ahead",
    "must be at most 1024 bytes as compact JSON",
    "must be valid Unicode, without lone surrogates",
    "is required",
    "must be Unicode without lone surrogates",
    "needs a bot name: message.bot_name, or the relay's BOT_NAME",
    "differs from event_id in the body",
}
