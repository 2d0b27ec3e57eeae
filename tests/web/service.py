"""The relay as a caller sees it, without sockets: the application over a store on a real Redis."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from flask.testing import FlaskClient
from gevent.event import Event
from werkzeug.test import TestResponse

from app.store.audit import Auditor, Readiness
from app.store.keys import Keys
from app.store.notices import Notices
from app.store.operations import Operations
from app.store.scripts import Scripts
from app.telemetry.trace_context import ExportSpan
from app.web.application import create_app
from app.web.authentication import Authenticator, Scope
from app.web.metrics import WebMetrics
from app.web.problems import PROBLEMS
from tools.model.store_driver import TTL_SECONDS, StoreDriver
from tools.stack.redis_client import Client

VERSION = "1.2.3"
SUBMIT_TOKEN = "submit-7f3a-5bd1e"
READ_TOKEN = "read-9c1e-c6a4a793"
BOTH_TOKEN = "both-55d0"
TOKENS = [
    (Scope.SUBMIT, "orders", SUBMIT_TOKEN),
    (Scope.READ, "crm", READ_TOKEN),
    (Scope.SUBMIT, "admin", BOTH_TOKEN),
    (Scope.READ, "admin", BOTH_TOKEN),
]
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_WEBHOOK_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
WEBHOOK_SECRETS = (WEBHOOK_SECRET, OTHER_WEBHOOK_SECRET)
EVENT = {"event_id": "refund-7731", "user_id": "6606508eaa71575f1e8c"}

Body = bytes | Mapping[str, Any]


class SilentNotices(Notices):
    """Notices that wake no one, so that a wait takes its time.

    pytest is not patched: a greenlet that listens would block this process, in other tests too.
    """

    @contextmanager
    def watch(self, event_id: str) -> Iterator[Event]:  # noqa: ARG002 - as Notices has it
        """Register nothing."""
        yield Event()


@dataclass(frozen=True)
class WebService:
    """One application, asked through Flask's test client; ``bench`` is the store behind it."""

    caller: FlaskClient
    bench: StoreDriver
    notices: Notices

    def post(self, body: Body = EVENT, **headers: str | None) -> TestResponse:
        """Post an event with the submit token. ``Content_Type=None`` leaves that header out."""
        usual = {"Authorization": f"Bearer {SUBMIT_TOKEN}", "Content-Type": "application/json"}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.caller.post(
            "/v1/events",
            data=body if isinstance(body, bytes) else json.dumps(body),
            headers={name: value for name, value in (usual | given).items() if value is not None},
        )

    def get(self, path: str, token: str = READ_TOKEN) -> TestResponse:
        """Look something up."""
        return self.caller.get(path, headers={"Authorization": f"Bearer {token}"})

    def stored(self) -> set[str]:
        """The names of all keys."""
        return set(cast("list[str]", self.bench.client.keys("*")))


def serve(
    client: Client,
    *,
    prefix: str = "relay",
    max_backlog: int = 1000,
    allow_unsafe: bool = False,
    webhook_secrets: Iterable[str] = WEBHOOK_SECRETS,
    bot_name: str | None = None,
    export_span: ExportSpan | None = None,
) -> WebService:
    """Build the application over ``client`` as ``bootstrap`` does."""
    bench = StoreDriver(client, Keys(prefix))
    events = bench.intake(max_backlog=max_backlog)
    notices = SilentNotices(client.relay, bench.keys)

    app = create_app(
        events,
        Authenticator(TOKENS, webhook_secrets),
        Readiness(Auditor(client.relay, bench.keys), allow_unsafe=allow_unsafe, standing_seconds=0),
        notices,
        WebMetrics(
            Operations(Scripts(client.relay, bench.keys), record_ttl_seconds=TTL_SECONDS), VERSION
        ),
        version=VERSION,
        bot_name=bot_name,
        export_span=export_span,
    )
    return WebService(app.test_client(), bench, notices)


def problem(response: TestResponse) -> dict[str, Any]:
    """The problem that was answered, which must be one of the list in all its parts."""
    content = cast("dict[str, Any]", json.loads(response.data))
    listed = PROBLEMS[content["type"].removeprefix("/problems/")]
    assert response.content_type == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Request-Id"] == content["request_id"]
    assert (listed.status, listed.status) == (response.status_code, content["status"])
    assert listed.title == content["title"]
    assert content["detail"]
    return content


def slug(response: TestResponse) -> str:
    """Which problem was answered."""
    return cast("str", problem(response)["type"]).removeprefix("/problems/")


def errors(response: TestResponse) -> dict[str, str]:
    """Return the problem's errors by pointer, header or parameter."""
    content = problem(response)
    assert response.status_code == 422
    found = {}
    for error in content["errors"]:
        (place,) = error.keys() - {"detail"}
        assert place in {"pointer", "header", "parameter"}
        assert error[place] not in found
        found[error[place]] = error["detail"]
    return found
