"""The operator's pages: what they show, and what their decisions do."""

import re

import pytest
from structlog.testing import capture_logs

from app.operate.pages.listing import MAX_LOOKED_AT, ROWS
from tests.operate.operator import NAME
from tests.operate.pages.site import (
    OTHER_TOKEN,
    Site,
    events_of,
    lose_redis,
    open_site,
    plain,
)
from tests.operate.test_bulk import hold_many
from tools.model.outcomes import created
from tools.model.store_driver import UNREADABLE

MARKUP = "<script>alert(1)</script>"
MANY = 10_000
LATE = created("late")
ACTIONS = ("publish", "recreate", "give-up", "redrive", "cancel")
SAYS_WHY_NOT = {
    "publish": "e1 is opened, not held: only an event that is unknown can be resolved",
    "recreate": "e1 is opened, not held: only an event that is unknown can be resolved",
    "give-up": "e1 is opened, not held: only an event that is unknown can be resolved",
    "redrive": "e1 is opened: only what has failed can be tried again",
    "cancel": "e1 is opened: only an event that waits for a call can be cancelled",
}


def status(site: Site, event_id: str = "e1") -> str:
    """The status of an event."""
    found: str = site.operator.document(event_id)["status"]
    return found


def actions_of(site: Site, event_id: str = "e1") -> list[str]:
    """The decisions that an event's page offers."""
    page = site.get(f"/events/{event_id}").text
    return re.findall(r'name="action" value="([a-z-]+)"', page)


def test_the_overview_counts(site: Site) -> None:
    """Events by status, workers and the gate; the hour by minute."""
    site.operator.hold("e1")
    site.operator.fail("e2")
    site.operator.bench.accept("e3")

    shown = site.text()

    assert "Waiting 1" in shown
    assert "Being called 0" in shown
    assert "Held 1 decide about them" in shown
    assert "Failed 1" in shown
    assert "Workers" in shown
    assert "Breaker closed" in shown
    assert "accepted 3 peak 3/min" in shown
    assert "unknown 1 peak 1/min" in shown


def test_an_overview_of_nothing(site: Site) -> None:
    """A relay that nothing was posted to has pages as well."""
    site.operator.bench.client.flushall()

    shown = site.text()

    assert "Waiting 0" in shown
    assert "Workers 0 nothing is called" in shown
    assert "Nothing happened." in shown


def test_the_gate_is_described(site: Site) -> None:
    """An open breaker, and a probe that fails, each with its reason."""
    now_ms = site.operator.bench.now_ms()
    probe: dict[str, str | int | float] = {
        "probe_problem:way-1": "Channel.io answered 401",
        "probe_failed_at:way-1": now_ms,
        "probe_failing_since:way-1": now_ms,
    }
    site.operator.bench.set_gate(state="open", reason="5 calls in a row failed", **probe)

    shown = site.text()

    assert "Breaker open (5 calls in a row failed)" in shown
    assert "Channel.io answered 401" in shown


def test_calls_are_paused_and_resumed(site: Site) -> None:
    """By name; a second pause changes nothing, and shows whose the first is."""
    ben = open_site(site.operator)
    ben.sign_in(OTHER_TOKEN)

    assert 303 == site.post("/pause").status_code
    assert f"Pause by {NAME} since" in ben.text()
    second = ben.post("/pause")
    assert 409 == second.status_code
    assert f"Nothing was done: {NAME} has paused all calls already." in plain(second)
    assert 303 == ben.post("/resume").status_code
    assert "Pause none" in site.text()
    assert 409 == site.post("/resume").status_code


def test_a_notice_is_shown_once(site: Site) -> None:
    """After a decision the page says what was done."""
    site.post("/pause")

    assert "No call begins until they are resumed." in site.text()
    assert "No call begins until they are resumed." not in site.text()


@pytest.mark.parametrize("name", ["held", "failed", "waiting"])
def test_a_list_has_its_events(site: Site, name: str) -> None:
    """Each list has the events of its status alone."""
    site.operator.hold("held-1")
    site.operator.fail("failed-1")
    site.operator.bench.accept("waiting-1")

    assert [f"{name}-1"] == events_of(site.get(f"/{name}"))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("user=u2", ["e2"]),
        ("member=m-1", ["e3"]),
        ("code=no_answer", ["e1", "e2", "e3"]),
        ("code=rejected", []),
        ("since=1h", ["e1", "e2", "e3"]),
        ("since=2100-01-01", []),
        ("user=u2&code=no_answer&since=1h", ["e2"]),
        ("user=+u2+", ["e2"]),
        ("user=&code=&unknown=x", ["e1", "e2", "e3"]),
    ],
)
def test_a_list_is_filtered(site: Site, query: str, expected: list[str]) -> None:
    """By user, member, code and time of acceptance."""
    site.operator.hold("e1")
    site.operator.hold("e2", user_id="u2")
    site.operator.hold("e3")
    site.operator.bench.set_fields("e3", v=3, member_id="m-1")

    assert expected == events_of(site.get(f"/held?{query}"))


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("user=a/b", "A user id is 1 to 64 of"),
        ("user=%ff", "A user id is 1 to 64 of"),
        ("member=a b", "A member id is 1 to 64 characters"),
        ("since=yesterday", "A time is such as"),
        ("since=9999999d", "A time is such as"),
        (f"code={'x' * 65}", "A code is such as"),
        ("user=u1&member=m1", "Give a user or a member, not both."),
    ],
)
def test_a_wrong_filter_is_named(site: Site, query: str, complaint: str) -> None:
    """Beside its field, and no list is shown for it, nor decided about."""
    site.operator.hold("e1")

    response = site.get(f"/held?{query}")

    assert 422 == response.status_code
    assert complaint.lower() in plain(response).lower()
    assert [] == events_of(response)


def test_a_wrong_filter_selects_nothing(site: Site) -> None:
    """A form with a filter that cannot be read does not decide about all."""
    site.operator.hold("e1")

    response = site.post("/held", action="give-up", confirmed="yes", limit="9", since="yesterday")

    assert 400 == response.status_code
    assert "unknown" == status(site)


@pytest.mark.parametrize("query", ["", "user=u1"])
def test_a_list_has_pages_of_fifty(site: Site, query: str) -> None:
    """Each event is on one of them, in the order of the list."""
    expected = hold_many(site.operator, 2 * ROWS + 20)
    seen: list[list[str]] = []
    address = f"/operate/held?{query}"
    while address:
        response = site.browser.get(address)
        seen.append(events_of(response))
        address = "".join(re.findall(r'<a href="([^"]+)" rel="next"', response.text))
        address = address.replace("&amp;", "&")

    assert [ROWS, ROWS, 20] == [len(page) for page in seen]
    assert sorted(expected) == [event_id for page in seen for event_id in page]


@pytest.mark.parametrize("after", ["", "x", "1:", "1:a b", "-1:e1", "1e9:e1", f"{'9' * 30}:e1"])
def test_a_wrong_position_is_the_start(site: Site, after: str) -> None:
    """An address that was cut off shows the list from its start."""
    site.operator.hold("e1")

    response = site.browser.get("/operate/held", query_string={"after": after})

    assert ["e1"] == events_of(response)


def test_ten_thousand_held_events(site: Site) -> None:
    """A filter that nothing matches reads a part at a time; a decision reaches all of them."""
    hold_many(site.operator, MANY)

    first = site.get("/held?code=rejected")
    assert f"None of the first {MAX_LOOKED_AT} matches." in plain(first)
    assert 'rel="next"' in first.text
    preview = site.post("/held", action="give-up")
    assert f"Give up: {MANY} events?" in plain(preview)

    left, after, decided = str(MANY), "", 0
    while left:  # one request decides for ten seconds at most
        response = site.post("/held", action="give-up", confirmed="yes", limit=left, after=after)
        decided += int(re.findall(r"<h1>Done: (\d+)", response.text)[0])
        left = "".join(re.findall(r'name="limit" value="(\d+)"', response.text))
        after = "".join(re.findall(r'name="after" value="([^"]+)"', response.text))
    assert MANY == decided
    assert {} == site.operator.bench.queue("held")


@pytest.mark.parametrize("name", sorted(UNREADABLE))
def test_a_record_of_another_release_is_listed(site: Site, name: str) -> None:
    """Its event is named, and left alone."""
    site.operator.hold("e1")
    before = site.operator.bench.make_unreadable(UNREADABLE[name])

    shown = site.text("/held")
    preview = site.post("/held", action="give-up")
    done = site.post("/held", action="give-up", confirmed="yes", limit="1")

    assert "e1 A newer release of the relay wrote it" in shown
    assert "Left alone 1: a newer release of the relay wrote it" in plain(preview)
    assert "Done: 0" in plain(done)
    assert before == site.operator.bench.text()


def test_an_event_is_found_by_its_id(site: Site) -> None:
    """From any page."""
    site.operator.hold("e1")

    found = site.get("/find?event_id=+e1+")
    missing = site.browser.get("/operate/find?event_id=e2", follow_redirects=True)
    impossible = site.get("/find?event_id=a/b")

    assert (302, "/operate/events/e1") == (found.status_code, found.headers["Location"])
    assert 404 == missing.status_code
    assert "no event e2 is kept" in plain(missing)
    assert 422 == impossible.status_code
    assert "an event id is 1 to 128 of" in plain(impossible)


@pytest.mark.parametrize("event_id", ["no-such-event", "a%20b", "%ff", "..%2f", "x" * 129, "é"])
def test_an_event_that_cannot_be_is_not_found(site: Site, event_id: str) -> None:
    """Whatever the address has."""
    assert 404 == site.get(f"/events/{event_id}").status_code
    assert site.decide(event_id, "give-up").status_code in {404, 405}


def test_each_state_permits_its_decisions(site: Site) -> None:
    """An event's page offers what can be done about it, and nothing else."""
    site.operator.hold("held")
    site.operator.fail("failed")
    site.operator.end("opened", created("chat-1"))
    site.operator.hold("given-up")
    site.decide("given-up", "give-up")
    site.operator.bench.granted("calling")
    site.operator.bench.accept("waiting")

    assert ["publish", "recreate", "give-up"] == actions_of(site, "held")
    assert ["redrive"] == actions_of(site, "failed")
    assert [] == actions_of(site, "opened")
    assert [] == actions_of(site, "given-up")
    assert [] == actions_of(site, "calling")
    assert ["cancel"] == actions_of(site, "waiting")


def test_a_time_line_has_each_step(site: Site) -> None:
    """Also who decided, and why it is where it is."""
    site.operator.hold("e1")
    site.decide("e1", "recreate")

    shown = site.text("/events/e1")

    for part in ("accepted", "no answer (attempt 1)", f"by {NAME}", "It waits for its call."):
        assert part in shown


@pytest.mark.parametrize(
    ("action", "fields", "expected"),
    [
        ("publish", {"chat_id": "found"}, "opened"),
        ("recreate", {}, "accepted"),
        ("give-up", {}, "failed"),
    ],
)
def test_a_held_event_is_resolved(
    site: Site, action: str, fields: dict[str, str], expected: str
) -> None:
    """The first form asks, the second decides."""
    site.operator.hold("e1")

    asked = site.post("/events/e1", action=action, **fields)
    assert (200, "unknown") == (asked.status_code, status(site))
    assert "e1 of user u1 is unknown : no_answer" in plain(asked)
    done = site.decide("e1", action, **fields)

    assert (303, expected) == (done.status_code, status(site))
    assert f"Done: e1 is {expected} now." in site.text("/events/e1")


def test_a_failed_event_is_tried_again(site: Site) -> None:
    """And only for the failure that was asked about."""
    site.operator.fail("e1")
    asked = site.post("/events/e1", action="redrive")
    assert 'name="code" value="user_not_found"' in asked.text

    other = site.decide("e1", "redrive", code="rejected")
    assert 409 == other.status_code
    assert "e1 failed for another reason" in plain(other)
    site.decide("e1", "redrive", code="user_not_found")

    assert "accepted" == status(site)


def test_a_waiting_event_is_cancelled(site: Site) -> None:
    """It fails as abandoned."""
    site.operator.bench.accept("e1")
    site.post("/events/e1", action="cancel")

    site.decide("e1", "cancel")

    assert "abandoned" == site.operator.document()["failure"]["code"]


@pytest.mark.parametrize("chat_id", ["", " found", "found ", "a/b", "..", "a\nb", "x" * 257])
def test_a_chat_id_must_be_one(site: Site, chat_id: str) -> None:
    """Nothing is stripped of it, and it is refused before the question and after."""
    site.operator.hold("e1")

    for response in (
        site.post("/events/e1", action="publish", chat_id=chat_id),
        site.decide("e1", "publish", chat_id=chat_id),
    ):
        assert 422 == response.status_code
        assert "a chat id is 1 to 256 printable characters" in plain(response)
    assert "unknown" == status(site)


def test_a_chat_of_another_event_is_refused(site: Site) -> None:
    """The page names the event that it belongs to."""
    site.operator.end("e1", created("chat-1"))
    site.operator.hold("e2")

    response = site.decide("e2", "publish", chat_id="chat-1")

    assert 409 == response.status_code
    assert "this chat belongs to the event e1" in plain(response)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_decision_that_lost_a_race_shows_what_won(site: Site, action: str) -> None:
    """The event was settled between the question and the answer to it."""
    grant = site.operator.hold("e1")
    site.post("/events/e1", action=action, chat_id="found")
    site.operator.settle(grant, LATE)
    before = site.operator.bench.fields()

    with capture_logs() as lines:
        response = site.decide("e1", action, chat_id="found")

    assert 409 == response.status_code
    assert f"Nothing was done: {SAYS_WHY_NOT[action]}." in plain(response)
    assert "Chat late" in plain(response)
    assert before == site.operator.bench.fields()
    (line,) = (line for line in lines if line["event"] == "operator_decided")
    assert SAYS_WHY_NOT[action] == line["refused"]


def test_two_operators_decide_at_once(site: Site) -> None:
    """One decision counts, and the other operator sees it."""
    ben = open_site(site.operator)
    ben.sign_in(OTHER_TOKEN)
    site.operator.hold("e1")
    for each in (site, ben):
        each.post("/events/e1", action="give-up")

    first, second = site.decide("e1", "recreate"), ben.decide("e1", "give-up")

    assert (303, 409) == (first.status_code, second.status_code)
    assert f"by {NAME}" in plain(second)
    assert "accepted" == status(site)


@pytest.mark.parametrize("action", ["", "Give-up", "forget", "give-up\n", "1"])
@pytest.mark.parametrize("path", ["/events/e1", "/held"])
def test_an_unknown_decision_is_refused(site: Site, action: str, path: str) -> None:
    """And so is one that does not fit the list."""
    site.operator.hold("e1")

    response = site.post(path, action=action, confirmed="yes", limit="1")

    assert 400 == response.status_code
    assert "unknown" == status(site)


@pytest.mark.parametrize(
    ("name", "action"),
    [("held", "redrive"), ("held", "publish"), ("failed", "recreate"), ("waiting", "give-up")],
)
def test_a_list_has_its_own_decisions(site: Site, name: str, action: str) -> None:
    """No other can be taken about all of it."""
    site.operator.hold("held-1")
    site.operator.fail("failed-1")

    assert 400 == site.post(f"/{name}", action=action, confirmed="yes", limit="9").status_code


@pytest.mark.parametrize("limit", ["", "0", "-1", "x", "1e3", "9" * 10, "\u0661"])
def test_a_decision_about_many_has_the_count_of_its_preview(site: Site, limit: str) -> None:
    """Without it none is taken."""
    site.operator.hold("e1")

    assert 400 == site.post("/held", action="give-up", confirmed="yes", limit=limit).status_code
    assert "unknown" == status(site)


def test_all_that_match_are_decided_about(site: Site) -> None:
    """After a preview with their count; others stay."""
    for event_id, user_id in (("e1", "u1"), ("e2", "u1"), ("e3", "u2")):
        site.operator.hold(event_id, user_id=user_id)

    preview = site.post("/held", action="recreate", user="u1")
    assert ["unknown"] * 3 == [status(site, event_id) for event_id in ("e1", "e2", "e3")]
    assert "Call once more: 2 events?" in plain(preview)
    assert ["e1", "e2"] == events_of(preview)
    done = site.post("/held", action="recreate", user="u1", confirmed="yes", limit="2")

    assert "Done: 2" in plain(done)
    assert ["accepted", "accepted", "unknown"] == [
        status(site, event_id) for event_id in ("e1", "e2", "e3")
    ]


def test_no_more_are_decided_about_than_the_preview_had(site: Site) -> None:
    """An event that is held after the preview was not asked about."""
    site.operator.hold("e1")
    preview = site.post("/held", action="give-up")
    (limit,) = re.findall(r'name="limit" value="(\d+)"', preview.text)
    site.operator.hold("e2")

    site.post("/held", action="give-up", confirmed="yes", limit=limit)

    assert ["failed", "unknown"] == [status(site, "e1"), status(site, "e2")]


def test_failed_events_are_tried_again_with_reasons_for_the_others(site: Site) -> None:
    """An event that may have a chat is left alone, and counted."""
    site.operator.fail("e1")
    site.operator.hold("e2")
    site.decide("e2", "give-up")

    preview = plain(site.post("/failed", action="redrive"))
    done = plain(site.post("/failed", action="redrive", confirmed="yes", limit="2"))

    reason = "Left alone 1: an attempt for it may have made a chat"
    assert "Try again: 1 events?" in preview
    assert "user_not_found 1" in preview
    assert reason in preview
    assert "Done: 1" in done
    assert reason in done


def test_waiting_events_are_cancelled_together(site: Site) -> None:
    """All that match."""
    for event_id in ("e1", "e2"):
        site.operator.bench.accept(event_id)

    done = plain(site.post("/waiting", action="cancel", confirmed="yes", limit="2"))

    assert "Done: 2" in done
    assert ["failed", "failed"] == [status(site, "e1"), status(site, "e2")]


def test_a_decision_about_many_that_loses_redis_logs_how_far_it_came(site: Site) -> None:
    """Those before the fault are done, and the page says so."""
    for event_id in ("e1", "e2", "e3"):
        site.operator.hold(event_id)
    site.operator.scripts.spared = 2  # the list, and the first decision
    site.operator.scripts.lost = 1_000

    with capture_logs() as lines:
        response = site.post("/held", action="give-up", confirmed="yes", limit="3")

    site.operator.scripts.lost = 0
    assert 503 == response.status_code
    assert "Of a decision about many, those before the fault are done." in plain(response)
    assert "failed" == status(site, "e1")
    (line,) = (line for line in lines if line["event"] == "operator_decided")
    assert 1 == line["decided"]


@pytest.mark.parametrize("path", ["", "/held", "/held?user=u1", "/events/e1"])
def test_a_page_without_redis_says_so(site: Site, path: str) -> None:
    """Status 503, for load balancers and scripts as well."""
    lose_redis(site.operator)

    response = site.get(path)

    assert 503 == response.status_code
    assert "Redis did not answer" in plain(response)
    assert "The decision may have been carried out or not." not in plain(response)


def test_a_decision_without_a_reply_says_so(site: Site) -> None:
    """It was carried out here; the operator learns that it may have been."""
    site.operator.hold("e1")
    site.operator.scripts.spared = 1  # the record
    site.operator.scripts.lost = 2  # the decision, and its repeat

    response = site.decide("e1", "give-up")

    assert 503 == response.status_code
    assert "The decision may have been carried out or not." in plain(response)
    assert "failed" == status(site)


def test_markup_is_text(site: Site) -> None:
    """In metadata, codes, chat ids, filters and addresses."""
    site.operator.hold("e1", metadata={MARKUP: MARKUP})
    site.operator.bench.set_fields(
        failure={"code": MARKUP, "detail": MARKUP},
        history=[{"at_ms": 1, "what": MARKUP, "attempt": 1, "by": MARKUP, "chat_id": MARKUP}],
    )
    pages = [
        site.get("/events/e1"),
        site.get("/held"),
        site.browser.get("/operate/held", query_string={"code": MARKUP, "user": MARKUP}),
        site.browser.get("/operate/find", query_string={"event_id": MARKUP}),
        site.post("/held", action="give-up"),
        site.post("/events/e1", action="publish", chat_id="<b>found<b>"),
        site.get(f"/events/{MARKUP}"),
    ]

    for page in pages:
        assert "<script" not in page.text
        assert "<b>found" not in page.text
        assert "alert" in page.text or "found" in page.text


def test_a_message_text_is_on_no_page(site: Site) -> None:
    """It is a person's."""
    secret = "the text of a person"
    site.operator.bench.accept("e1", message={"text": secret, "bot_name": "Refunds"})

    for path in ("/events/e1", "/waiting", ""):
        assert secret not in site.get(path).text
    assert secret not in site.post("/waiting", action="cancel").text
    assert secret not in site.post("/events/e1", action="cancel").text


def test_head_is_answered_as_get_is(site: Site) -> None:
    """For probes and proxies."""
    for path in ("", "/held", "/sign-in"):
        response = site.browser.head(f"/operate{path}")

        assert (200, b"") == (response.status_code, response.data)
