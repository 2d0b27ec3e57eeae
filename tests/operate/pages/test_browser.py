"""The operator's page in a real browser, over a whole relay, without JavaScript."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.operate.pages.browser import Chromium
from tools.stack.channel_io import Behaviour
from tools.stack.deployment import Deployment
from tools.stack.verdict import find_leaks, judge

TOKEN = "operate-token-81d0c3f5"
FAILING = Behaviour.REJECTED_422.user_id
WIDTHS = (360, 768, 1280)
MARKUP = "<script>document.title='x'</script><b>bold</b>"
PAGES = ("", "/held", "/failed", "/waiting", "/events/held-1", "/held?since=x", "/events/missing")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A whole relay, whose outages do not open the breaker."""
    directory = tmp_path_factory.mktemp("deployment")
    with Deployment(directory, BREAKER_THRESHOLD="1000", BOT_NAME="Relay") as deployment:
        deployment.start_web(OPERATE_TOKENS=f"anna:{TOKEN}").wait_until_ready()
        deployment.start_worker()
        yield deployment
        assert [] == find_leaks(deployment)
        assert TOKEN not in "".join(log.read_text() for log in directory.glob("*.log"))


@pytest.fixture(scope="module")
def browser(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """One browser for all tests here."""
    with Chromium(deployment.caller.url, tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def relay(deployment: Deployment) -> Iterator[Deployment]:
    """The relay without any event; after the test, what was accepted passes the oracle."""
    deployment.clear()
    yield deployment
    judge(deployment)


@pytest.fixture
def page(relay: Deployment, browser: Chromium) -> Iterator[Chromium]:
    """The browser, in which an operator is signed in; no page may break its policy."""
    browser.driver.delete_all_cookies()
    browser.resize(1280)
    browser.open("/operate")
    browser.fill("Operator token", TOKEN)
    browser.press("Sign in")
    assert "/operate" == browser.path
    yield browser
    assert [] == browser.complaints()


def hold(
    relay: Deployment,
    event_id: str,
    behaviour: Behaviour = Behaviour.CREATE_THEN_CLOSE,
    **fields: object,
) -> None:
    """Have an event whose chat is made, without an answer that can be read, at the first call."""
    user_id = f"user-{event_id}"[:64]
    relay.channel_io.plan(behaviour, user_id=user_id)
    relay.caller.post({"event_id": event_id, "user_id": user_id, **fields})
    relay.caller.wait_for(event_id, "unknown")


def fail(relay: Deployment, event_id: str) -> None:
    """Have an event that Channel.io refuses."""
    relay.caller.post({"event_id": event_id, "user_id": FAILING})
    relay.caller.wait_for(event_id, "failed")


def test_a_sign_in_leads_to_the_page_that_was_asked_for(
    relay: Deployment, browser: Chromium
) -> None:
    """After a wrong token too; the cookie is for this page, and for no script."""
    hold(relay, "held-1")
    browser.driver.delete_all_cookies()
    browser.open("/operate/events/held-1")
    assert "/operate/sign-in?next=/operate/events/held-1" == browser.path

    browser.fill("Operator token", "not-a-token-of-ours")
    browser.press("Sign in")
    assert "This token is not one of OPERATE_TOKENS." in browser.text
    browser.fill("Operator token", TOKEN)
    browser.press("Sign in")

    assert "/operate/events/held-1" == browser.path
    (cookie,) = browser.driver.get_cookies()
    assert (True, "Strict", "/operate") == (
        cookie["httpOnly"],
        cookie["sameSite"],
        cookie["path"],
    )


def test_a_sign_out_ends_it(page: Chromium) -> None:
    """Each page needs a sign-in again."""
    page.press("Sign out")
    page.open("/operate/held")

    assert page.path.startswith("/operate/sign-in")


def test_a_found_chat_is_published(relay: Deployment, page: Chromium) -> None:
    """It is entered, asked about, and published."""
    hold(relay, "held-1")
    (create,) = relay.creates_of("user-held-1")

    page.press("Held")
    page.press("held-1")
    page.fill("The chat was found at Channel.io: its id", create.chat_id)
    page.press("Publish this chat")
    assert f"Publishes {create.chat_id} as its chat, for good." in page.text
    assert "unknown" == relay.caller.find("held-1")["status"]  # type: ignore[index]
    page.press("Publish it, for good")

    assert "Done: held-1 is opened now." in page.text
    record = relay.caller.wait_for("held-1", "opened")
    assert create.chat_id == record["chat"]["id"]


def test_a_held_event_is_called_once_more(relay: Deployment, page: Chromium) -> None:
    """Its second chat is published, and the time line names the operator."""
    hold(relay, "held-1")

    page.open("/operate/events/held-1")
    page.press("Call once more")
    page.press("Call once more")
    page.wait_for("Chat made yes", "/operate/events/held-1")

    assert "by anna (recreate)" in page.text
    assert "an empty chat without a record may exist" in page.text


def test_a_held_event_is_given_up(relay: Deployment, page: Chromium) -> None:
    """It fails, and nothing else is offered."""
    hold(relay, "held-1", message={"text": "Hello."})

    page.open("/operate/events/held-1")
    page.press("Give up")
    assert "Its tasks (message) are skipped." in page.text
    page.press("Give up")

    assert "Done: held-1 is failed now." in page.text
    assert "Decide" not in page.text
    assert "skipped" in page.text


def test_to_do_nothing_does_nothing(relay: Deployment, page: Chromium) -> None:
    """The question can be left."""
    hold(relay, "held-1")

    page.open("/operate/events/held-1")
    page.press("Give up")
    page.press("Do nothing")

    assert "/operate/events/held-1" == page.path
    assert "unknown" == relay.caller.find("held-1")["status"]  # type: ignore[index]


def test_a_failed_event_is_tried_again(relay: Deployment, page: Chromium) -> None:
    """It is refused again here."""
    fail(relay, "failed-1")

    page.press("Failed")
    page.press("failed-1")
    page.press("Try again")
    page.press("Try again")
    page.wait_for("redriven", "/operate/events/failed-1")

    relay.caller.wait_for("failed-1", "failed")
    assert 2 == len(relay.calls_of(FAILING))


def test_calls_are_paused_an_event_cancelled_and_calls_resumed(
    relay: Deployment, page: Chromium
) -> None:
    """While calls are paused an event waits, and says why."""
    page.press("Pause all calls")
    assert "Pause by anna since" in page.text
    relay.caller.post({"event_id": "waiting-1", "user_id": "u1"})

    page.press("Waiting")
    page.press("waiting-1")
    assert "anna paused all calls at" in page.text
    page.press("Cancel")
    page.press("Cancel the event")
    assert "abandoned" in page.text
    page.press("Overview")
    page.press("Resume calls")

    assert "Pause none" in page.text
    assert [] == relay.creates_of("u1")


def test_many_are_decided_about_after_a_preview(relay: Deployment, page: Chromium) -> None:
    """Those that match the filter, and no others."""
    for event_id in ("held-1", "held-2"):
        hold(relay, event_id)
    hold(relay, "other-1", Behaviour.NO_CHAT_ID)

    page.press("Held")
    page.fill("Code", "no_answer")
    page.press("Filter")
    assert "other-1" not in page.text
    page.press("Give up")
    assert "Give up: 2 events?" in page.text
    page.press("Give up: 2")

    assert "Done: 2" in page.text
    page.press("Back to the list")
    assert "other-1" in page.text
    assert "held-1" not in page.text


def test_failed_ones_are_tried_again_together(relay: Deployment, page: Chromium) -> None:
    """The preview counts them by code."""
    for event_id in ("failed-1", "failed-2"):
        fail(relay, event_id)

    page.press("Failed")
    page.press("Try again")
    assert "rejected 2" in page.text
    page.press("Try again: 2")

    assert "Done: 2" in page.text


def test_an_event_is_found_by_its_id(relay: Deployment, page: Chromium) -> None:
    """From any page."""
    hold(relay, "held-1")

    page.fill("Event id", "held-1")
    page.press("Find")

    assert "/operate/events/held-1" == page.path


def test_the_hour_is_plotted(relay: Deployment, page: Chromium) -> None:
    """Each count by minute, as a plot and as a table."""
    hold(relay, "held-1")

    page.open("/operate")

    assert "accepted 1 peak 1/min" in page.text
    assert "unknown 1 peak 1/min" in page.text
    assert len(page.driver.find_elements("css selector", "svg rect")) >= 2


def test_keys_alone_do(relay: Deployment, browser: Chromium) -> None:
    """Sign in, find an event, and decide: without a mouse, and the focus is seen."""
    hold(relay, "held-1")
    browser.driver.delete_all_cookies()
    browser.open("/operate/events/held-1")
    browser.type_keys(TOKEN)  # the field has the focus
    browser.enter()

    focused = browser.tab_to("Give up")
    assert "solid" in focused.value_of_css_property("outline-style")
    browser.enter()
    browser.tab_to("Give up")
    browser.enter()

    assert "Done: held-1 is failed now." in browser.text
    browser.type_keys("")
    assert "Skip to the content" == browser.tab_to("Skip").text


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_its_window(relay: Deployment, page: Chromium, width: int) -> None:
    """Also with long ids, on a phone."""
    hold(relay, "held-1", metadata={"order": "7731" * 60})
    hold(relay, "x" * 128)
    page.resize(width)

    for path in (*PAGES, f"/events/{'x' * 128}"):
        page.open(f"/operate{path}")
        assert 0 == page.overflow(), path
        page.complaints()


def test_markup_is_text(relay: Deployment, page: Chromium) -> None:
    """Of metadata, filters and addresses."""
    hold(relay, "held-1", metadata={MARKUP: MARKUP})

    page.open("/operate/events/held-1")
    assert 2 == page.text.count(MARKUP)
    page.open(f"/operate/held?code={quote(MARKUP)}")
    assert "No event matches." in page.text
    assert "x" != page.driver.title
