"""Records are found by event, by user and by chat."""

from urllib.parse import quote

import pytest

from tests.web.described import assert_described
from tests.web.service import BOTH_TOKEN, EVENT, READ_TOKEN, WebService, errors, slug
from tools.model.outcomes import REFUSED, UNKNOWN, created
from tools.stack.processes import wait_until

ODD_IDS = [
    "..",
    ".",
    "a b",
    "*",
    "?",
    "{relay}:due",
    "\x00",
    "\r\nX: y",
    "a\x00b",
    "é😀",
    "x" * 3000,
    "%2e%2e",
    "\\",
    '"',
    "'",
]


def open_chat(service: WebService, event_id: str, *, user_id: str = "u1") -> None:
    """Accept an event and open ``chat-<event_id>`` for it, at an instant of its own."""
    bench = service.bench
    grant = bench.granted(event_id, user_id=user_id)
    bench.worker().settle(grant, created(f"chat-{event_id}"))
    settled_ms = bench.now_ms()
    wait_until(lambda: bench.now_ms() > settled_ms, 30, "the next millisecond")


def test_a_record_is_found_by_its_event(service: WebService) -> None:
    """As the post answered it."""
    posted = service.post().get_json()

    response = service.get("/v1/events/refund-7731")

    assert (200, posted) == (response.status_code, response.get_json())
    assert (response.content_type, response.headers["Cache-Control"]) == (
        "application/json",
        "no-store",
    )


def test_the_head_of_a_record(service: WebService) -> None:
    """All that a look-up answers but the body."""
    service.post()

    head = service.caller.head(
        "/v1/events/refund-7731", headers={"Authorization": f"Bearer {READ_TOKEN}"}
    )

    whole = service.get("/v1/events/refund-7731").headers
    whole["Request-Id"] = head.headers["Request-Id"]
    assert (200, b"") == (head.status_code, head.data)
    assert whole == head.headers


def test_every_valid_event_id_is_found(service: WebService) -> None:
    """Percent-encoded or not."""
    event_id = "Az09._:~-..."
    service.post({**EVENT, "event_id": event_id})

    for path in (event_id, "".join(f"%{ord(character):02X}" for character in event_id)):
        assert service.get(f"/v1/events/{path}").get_json()["event_id"] == event_id


def test_a_record_is_found_by_its_chat(service: WebService) -> None:
    """By the published id only."""
    service.bench.open_gate()
    open_chat(service, "e1")

    found, other = service.get("/v1/chats/chat-e1"), service.get("/v1/chats/chat-e2")

    assert (200, "e1") == (found.status_code, found.get_json()["event_id"])
    assert slug(other) == "not-found"


def test_a_users_chats_come_newest_first(service: WebService) -> None:
    """By when they were opened, whatever their ids."""
    service.bench.open_gate()
    for event_id in ("e2", "e3", "e1"):
        open_chat(service, event_id)
    open_chat(service, "e4", user_id="u2")

    answer = service.get("/v1/users/u1/chats").get_json()
    newest = service.get("/v1/users/u1/chats?limit=2").get_json()

    assert answer.keys() == {"user_id", "chats", "has_more"}
    assert ("u1", False, True) == (answer["user_id"], answer["has_more"], newest["has_more"])
    assert ["e1", "e3", "e2"] == [record["event_id"] for record in answer["chats"]]
    assert {"u1"} == {record["user_id"] for record in answer["chats"]}
    assert newest["chats"] == answer["chats"][:2]


def test_a_users_other_events_are_no_chats(service: WebService) -> None:
    """Accepted, failed and held events have no chat to show."""
    service.bench.open_gate()
    for event_id, outcome in (("e1", REFUSED), ("e2", UNKNOWN)):
        service.bench.worker().settle(service.bench.granted(event_id), outcome)
    service.bench.accept("e3")

    none = {"user_id": "u1", "chats": [], "has_more": False}
    assert none == service.get("/v1/users/u1/chats").get_json()


def test_the_limit_is_20_unless_given(service: WebService) -> None:
    """Up to 100."""
    service.bench.open_gate()
    for number in range(22):
        grant = service.bench.granted(f"e{number}")
        service.bench.worker().settle(grant, created(f"chat-{number}"))

    counts = {
        query: len(service.get(f"/v1/users/u1/chats{query}").get_json()["chats"])
        for query in ("", "?limit=1", "?limit=21", "?limit=100", "?limit=007")
    }

    assert counts == {
        "": 20,
        "?limit=1": 1,
        "?limit=21": 21,
        "?limit=100": 22,
        "?limit=007": 7,
    }


@pytest.mark.parametrize(
    "limit",
    [
        "",
        "0",
        "101",
        "-1",
        "+1",
        "1.0",
        "1e1",
        "a",
        "1%20",
        "%D9%A3",
        "%00",
        "9" * 5000,
        "1_0",
        "%ff",
    ],
)
def test_another_limit_is_refused(service: WebService, limit: str) -> None:
    """The parameter is named."""
    response = service.get(f"/v1/users/u1/chats?limit={limit}")

    assert slug(response) == "invalid-parameter"
    assert errors(response) == {"limit": "must be a number from 1 to 100"}


@pytest.mark.parametrize("odd", ODD_IDS)
def test_odd_ids_are_not_found(service: WebService, odd: str) -> None:
    """Whatever is written in an address, it is an id that nothing has."""
    service.post()

    assert slug(service.get(f"/v1/events/{quote(odd)}")) == "not-found"
    assert slug(service.get(f"/v1/chats/{quote(odd)}")) == "not-found"


@pytest.mark.parametrize("odd", [*ODD_IDS, "a.b", "a~b", "a" * 65, "@member", "u1 ", "\ud7ff"])
def test_an_impossible_user_id_is_refused(service: WebService, odd: str) -> None:
    """422 and not an empty list, which would read as "no chats yet"."""
    response = service.get(f"/v1/users/{quote(odd)}/chats?limit=0")

    assert slug(response) == "invalid-parameter"
    assert {"limit", "user_id"} == errors(response).keys()
    assert "1 to 64 characters" in errors(response)["user_id"]


KNOWN_QUERY = {
    "/v1/events": "",
    "/v1/events/refund-7731": "",
    "/v1/chats/c": "",
    "/v1/users/u1/chats": "limit=1",
}


@pytest.mark.parametrize("path", KNOWN_QUERY)
@pytest.mark.parametrize("name", ["other", "Limit", "limit ", "wait", "event_id", "", "a[]", "é"])
def test_another_parameter_is_refused(service: WebService, path: str, name: str) -> None:
    """A misspelt one would do nothing, and its caller not notice; nothing is stored."""
    response = service.caller.open(
        f"{path}?{KNOWN_QUERY[path]}&{quote(name)}=1",
        method="POST" if path == "/v1/events" else "GET",
        json=EVENT,
        headers={"Authorization": f"Bearer {BOTH_TOKEN}"},
    )

    assert slug(response) == "invalid-parameter"
    assert {name: "is not a known parameter"} == errors(response)
    assert not service.stored()


@pytest.mark.parametrize("query", ["limit=1&limit=1", "limit=1&limit=2", "limit=3&limit=0"])
def test_a_repeated_parameter_is_refused(service: WebService, query: str) -> None:
    """Which of them was meant cannot be known."""
    response = service.get(f"/v1/users/u1/chats?{query}")

    assert {"limit": "must not be repeated"} == errors(response)


def test_every_fault_of_the_address_is_named(service: WebService) -> None:
    """At once, each by its name."""
    response = service.get("/v1/users/a.b/chats?limit=0&other=1&other=2&more")

    assert {"limit", "user_id", "other", "more"} == errors(response).keys()


@pytest.mark.parametrize("query", ["?", "?&", "?&&"])
def test_an_empty_query_has_no_parameter(service: WebService, query: str) -> None:
    """As libraries write it where there is nothing to write."""
    service.post()

    assert 200 == service.get(f"/v1/events/refund-7731{query}").status_code


@pytest.mark.parametrize(
    "path", ["a%2Fb", "%2F", "a/b", "%2e%2e%2fevents%2frefund-7731", "", "%ff", "%ed%a0%80"]
)
def test_slashes_and_broken_bytes_are_not_found(service: WebService, path: str) -> None:
    """An encoded slash is a slash; what is not UTF-8 is no id."""
    service.post()

    for prefix in ("/v1/events/", "/v1/chats/"):
        assert slug(service.get(prefix + path)) == "not-found"


@pytest.mark.parametrize("path", ["/v1/events/e", "/v1/chats/c", "/v1/users/u/chats"])
def test_without_redis_no_look_up_is_404(cut_off: WebService, path: str) -> None:
    """503 and not 404: down must never read as "not there"."""
    response = cut_off.get(path)

    assert slug(response) == "unavailable"
    assert response.headers["Retry-After"] == "1"


def test_a_newer_releases_record_is_not_guessed_at(service: WebService) -> None:
    """503 until this replica is replaced as well: two releases run side by side."""
    service.post()
    service.bench.set_fields("refund-7731", v=4)

    assert slug(service.get("/v1/events/refund-7731")) == "unavailable"
    assert slug(service.post()) == "unavailable"


def test_a_code_of_a_newer_release_is_returned_as_it_is(service: WebService) -> None:
    """A record that two releases can read may have a failure that only one of them knows."""
    service.bench.open_gate()
    service.bench.worker().settle(service.bench.granted("e1"), REFUSED)
    failure = {"code": "made_up_later", "detail": "Made up later.", "upstream_status": 418}
    service.bench.set_fields("e1", failure=failure)

    response = service.get("/v1/events/e1")

    assert (200, failure) == (response.status_code, response.get_json()["failure"])
    assert_described(response)
