"""A web application whose posts are held at crash points, for gunicorn.

gunicorn reads its configuration first, which applies the gevent patches.
"""

import os
import time

from app.bootstrap.web import build_web
from app.chats.event import OpenChatEvent
from app.chats.record import Record
from app.store.events import EventStore
from config.settings import WebSettings, load_or_exit
from tools.prove.crash_points import DurableStep, Edge, Holder

_holder = Holder.of_environment()


class HeldEvents(EventStore):
    """The event store, with holds around an acceptance."""

    def accept(
        self, event: OpenChatEvent, *, until: float | None = None, traceparent: str | None = None
    ) -> tuple[Record, bool]:
        """Claim and schedule an event."""
        arrived_at = time.monotonic()
        _holder.pass_point(Edge.BEFORE, DurableStep.ACCEPTED)
        if until is not None:
            until += time.monotonic() - arrived_at  # a hold takes none of the request's time
        accepted = super().accept(event, until=until, traceparent=traceparent)
        _holder.pass_point(Edge.AFTER, DurableStep.ACCEPTED)
        return accepted


application = build_web(load_or_exit(WebSettings, os.environ), store=HeldEvents)
