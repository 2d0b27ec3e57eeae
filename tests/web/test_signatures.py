"""Events that are signed instead of sent with a token: https://www.standardwebhooks.com"""

import json
import time
from datetime import UTC, datetime, tzinfo
from typing import Any, Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook, webhooks
from werkzeug.test import TestResponse

from tests.web.service import (
    EVENT,
    OTHER_WEBHOOK_SECRET,
    READ_TOKEN,
    SUBMIT_TOKEN,
    WEBHOOK_SECRET,
    WebService,
    errors,
    problem,
    serve,
    slug,
)
from tools.stack.redis_client import Client

TOLERANCE_SECONDS = 300
HUGE = b" " * 65_537
NAMELESS = {"user_id": EVENT["user_id"]}

# The specification's own example.
VECTOR_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTOR_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
VECTOR_TIMESTAMP = 1614265330
VECTOR_BODY = b'{"test": 2432232314}'
VECTOR_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

Body = bytes | dict[str, Any]

# What a server may hand on: a header is any Latin-1 text on one line.
HEADER = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"))

hostile = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def signed(
    body: Body = EVENT,
    *,
    webhook_id: str = "msg-1",
    secret: str = WEBHOOK_SECRET,
    age_seconds: float = 0,
) -> dict[str, str]:
    """The headers of a body that was signed."""
    at = datetime.fromtimestamp(int(time.time() - age_seconds), tz=UTC)
    text = (body if isinstance(body, bytes) else json.dumps(body).encode()).decode()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, at, text),
    }


def post(
    service: WebService,
    body: Body = EVENT,
    headers: dict[str, str] | None = None,
    **more: str | None,
) -> TestResponse:
    """Post with a signature of the body, or with other headers; without a token."""
    sent = signed(body) if headers is None else headers
    return service.post(body, **{"Authorization": None, **sent, **more})


class AtTheVectorsTime(datetime):
    """A clock that stands where the specification's example was signed."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        """The same each time."""
        return cls.fromtimestamp(VECTOR_TIMESTAMP, tz)


@pytest.fixture
def then(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library reads that clock."""
    monkeypatch.setattr(webhooks, "datetime", AtTheVectorsTime)


def vector(**changes: str) -> dict[str, str]:
    """The headers of the specification's example."""
    return {
        "webhook-id": VECTOR_ID,
        "webhook-timestamp": str(VECTOR_TIMESTAMP),
        "webhook-signature": VECTOR_SIGNATURE,
    } | changes


@pytest.mark.usefixtures("then")
def test_the_specifications_example_is_proved(service: WebService) -> None:
    """Only a signed request learns that its body is no event."""
    assert VECTOR_SECRET == WEBHOOK_SECRET

    assert "invalid-event" == slug(post(service, VECTOR_BODY, vector()))
    assert "unauthorized" == slug(post(service, VECTOR_BODY + b" ", vector()))
    for name, other in (
        ("webhook-id", "msg_2"),
        ("webhook-timestamp", str(VECTOR_TIMESTAMP + 1)),
        ("webhook-signature", VECTOR_SIGNATURE.replace("g0h", "g0H")),
    ):
        assert "unauthorized" == slug(post(service, VECTOR_BODY, vector(**{name: other})))


def test_a_signature_submits_and_does_not_read(service: WebService) -> None:
    """As a token with that right would, and under the name of its kind."""
    assert 202 == post(service).status_code
    for path in ("/v1/events/refund-7731", "/v1/users/u/chats", "/v1/chats/c"):
        response = service.caller.get(path, headers=signed())
        assert "unauthorized" == slug(response)
        assert response.headers["WWW-Authenticate"].startswith("Bearer ")


def test_any_secret_will_do(client: Client) -> None:
    """Several at once, so that senders can change one after the other."""
    service = serve(client)

    for secret in (WEBHOOK_SECRET, OTHER_WEBHOOK_SECRET):
        assert post(service, headers=signed(secret=secret)).status_code in {200, 202}
    stranger = signed(secret="whsec_" + "A" * 32)
    assert "unauthorized" == slug(post(service, headers=stranger))


def test_one_of_several_signatures_is_enough(service: WebService) -> None:
    """A sender that changes its secret signs with both; kinds that are not known count nothing."""
    headers = signed()
    old = signed(secret="whsec_" + "A" * 32)["webhook-signature"]
    headers["webhook-signature"] = f"v1a,xyz {old} {headers['webhook-signature']}"

    assert 202 == post(service, headers=headers).status_code


@pytest.mark.parametrize(
    ("age_seconds", "status"),
    [
        (TOLERANCE_SECONDS - 20, 202),
        (TOLERANCE_SECONDS + 2, 401),
        (-TOLERANCE_SECONDS + 20, 202),
        (-TOLERANCE_SECONDS - 20, 401),
    ],
)
def test_a_signature_is_good_for_five_minutes(
    service: WebService, age_seconds: float, status: int
) -> None:
    """So far back, and so far ahead where clocks differ."""
    assert status == post(service, headers=signed(age_seconds=age_seconds)).status_code


def test_a_bearer_token_decides(service: WebService) -> None:
    """Wrong, or without the right, it is not made good by a signature; nor is it spoilt by one."""
    unsigned = dict.fromkeys(signed(), "nonsense")

    for token, found in (("wrong", "unauthorized"), (READ_TOKEN, "forbidden")):
        assert found == slug(post(service, Authorization=f"Bearer {token}"))
    assert "unauthorized" == slug(post(service, Authorization="Bearer"))
    with_token = post(service, headers=unsigned, Authorization=f"Bearer {SUBMIT_TOKEN}")
    assert 202 == with_token.status_code


def test_another_scheme_is_no_bearer_token(service: WebService) -> None:
    """A sender may have been given a user and a password for something in between."""
    assert 202 == post(service, Authorization="Basic dTpw").status_code


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_all_three_headers_are_needed(service: WebService, missing: str) -> None:
    """Absent or empty."""
    headers = signed()
    del headers[missing]

    for response in (
        post(service, headers=headers),
        post(service, headers={**headers, missing: ""}),
    ):
        assert "unauthorized" == slug(response)
        assert f"absent or empty: {missing}." in problem(response)["detail"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"webhook-timestamp": -310}, "is too old"),
        ({"webhook-timestamp": "0"}, "is too old"),
        ({"webhook-timestamp": 400}, "is too new"),
        ({"webhook-timestamp": "1795341600000"}, "the time is in seconds"),
        ({"webhook-timestamp": "yesterday"}, "webhook-timestamp is not a time"),
        ({"webhook-timestamp": "2026-11-22T10:00:00Z"}, "webhook-timestamp is not a time"),
        ({"webhook-timestamp": "nan"}, "webhook-timestamp is not a time"),
        ({"webhook-timestamp": "-inf"}, "webhook-timestamp is not a time"),
        ({"webhook-signature": "AAAA"}, "has no signature of the form v1,"),
        ({"webhook-signature": "v2,AAAA v1a,AAAA"}, "has no signature of the form v1,"),
        ({"webhook-signature": "v1,AAAA"}, "does not fit"),
        ({"webhook-signature": "v1,not base64"}, "does not fit"),
        ({"webhook-id": "another"}, "does not fit"),
    ],
)
def test_a_bad_signature_has_a_reason(
    service: WebService, changes: dict[str, str | int], fault: str
) -> None:
    """A sender whose clock is behind looks elsewhere than one with another secret."""
    changed = {
        name: str(int(time.time()) + value) if isinstance(value, int) else value
        for name, value in changes.items()
    }
    response = post(service, headers={**signed(), **changed})

    assert "unauthorized" == slug(response)
    assert fault in problem(response)["detail"]
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")


def test_each_missing_header_is_named(service: WebService) -> None:
    """All of them at once."""
    response = post(service, headers={"webhook-id": "msg-1"})

    detail = problem(response)["detail"]
    assert "absent or empty: webhook-timestamp, webhook-signature." in detail


def test_a_body_is_signed_with_its_byte_order_mark(service: WebService) -> None:
    """The signature is over the body as it was sent, and what is passed over counts there."""
    marked = json.dumps(EVENT).encode("utf-8-sig")

    assert 202 == post(service, marked).status_code
    assert "unauthorized" == slug(post(service, marked, signed(EVENT)))


def test_without_secrets_no_signature_is_accepted(client: Client) -> None:
    """Headers alone are no right, not even to have the body read."""
    service = serve(client, webhook_secrets=())

    for response in (post(service), post(service, Content_Type="text/plain")):
        assert "unauthorized" == slug(response)
        assert "WEBHOOK_SECRETS is not set" in response.get_json(force=True)["detail"]


def test_the_webhook_id_names_an_event_that_has_no_name(service: WebService) -> None:
    """A repeated delivery is a duplicate."""
    first, again = post(service, NAMELESS), post(service, NAMELESS)

    assert (202, "msg-1") == (first.status_code, first.get_json()["event_id"])
    assert "true" == again.headers["Idempotent-Replayed"]


def test_the_bodys_event_id_wins(service: WebService) -> None:
    """The webhook's id is then of the delivery only."""
    assert EVENT["event_id"] == post(service).get_json()["event_id"]


def test_an_unsigned_header_does_not_name_the_event(service: WebService) -> None:
    """Or a delivery, caught and sent again with another key, would be another event."""
    post(service, NAMELESS)

    replayed = post(service, NAMELESS, Idempotency_Key="another")
    named = post(service, Idempotency_Key="another")
    same = post(service, NAMELESS, Idempotency_Key="msg-1")

    assert {"Idempotency-Key": "differs from webhook-id"} == errors(replayed)
    assert {"Idempotency-Key": "differs from event_id in the body"} == errors(named)
    assert "true" == same.headers["Idempotent-Replayed"]


def test_a_webhook_id_that_cannot_be_an_event_id_is_named(service: WebService) -> None:
    """With its header, since it is not in the body; an event_id in the body makes it harmless."""
    headers = signed(NAMELESS, webhook_id="msg 1")
    named = signed(webhook_id="msg 1")

    assert {"webhook-id"} == errors(post(service, NAMELESS, headers)).keys()
    assert 202 == post(service, headers=named).status_code


def test_with_a_token_the_webhook_id_names_nothing(service: WebService) -> None:
    """An unverified signature has no effect."""
    response = service.post(NAMELESS, webhook_id="msg-1")

    assert {"/event_id": "is required"} == errors(response)


def test_the_order_of_errors(service: WebService) -> None:
    """Faults of the head are reported before the signature, those of the body after it."""
    broken, unsigned = b"{broken", {**signed(), "webhook-signature": "v1,AAAA"}

    sent = [
        post(service, HUGE, unsigned, Content_Type="text/plain"),
        post(service, HUGE, unsigned),
        post(service, broken, unsigned),
        post(service, broken),
        post(service, {"user_id": 7}),
    ]

    assert [
        "unsupported-media-type",
        "too-large",
        "unauthorized",
        "malformed-json",
        "invalid-event",
    ] == [slug(response) for response in sent]


def test_a_log_line_names_the_verified_caller(
    service: WebService, capfd: pytest.CaptureFixture[str]
) -> None:
    """And that a claim was only a claim."""
    post(service)
    post(service, headers={**signed(), "webhook-signature": "v1,AAAA"})

    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [("webhook", 202), ("unproved", 401)] == [
        (line["caller"], line["status"]) for line in lines
    ]


SOME_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "webhook-id": HEADER,
        "webhook-timestamp": HEADER
        | st.floats().map(str)
        | st.integers().map(str)
        | st.just(str(int(time.time()))),
        "webhook-signature": HEADER
        | HEADER.map("v1,{}".format)
        | HEADER.map("{} v1,AAAA".format)
        | st.binary().map(lambda raw: f"v1,{raw.hex()}"),
    },
)


@hostile
@given(headers=SOME_HEADERS, body=st.binary() | st.just(json.dumps(EVENT).encode()))
def test_nothing_in_the_headers_makes_it_fail(
    service: WebService, headers: dict[str, str], body: bytes
) -> None:
    """401, and nothing is stored: whatever a stranger writes."""
    assert "unauthorized" == slug(post(service, body, headers))
    assert not service.stored()


@hostile
@given(body=st.binary())
def test_a_body_that_is_signed_is_judged_as_any_other(service: WebService, body: bytes) -> None:
    """It is refused for what is in it; one that is not text cannot be proved with this library."""
    text = body.decode(errors="replace").encode()

    found = slug(post(service, body, signed(text)))

    assert ("unauthorized" if text != body else found) == found
    assert found in {"malformed-json", "invalid-event", "unauthorized"}
