"""A browser's view of the operator's pages: pages and their forms."""

import html
import re
from dataclasses import dataclass

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.operate.pages.blueprint import register_pages
from app.operate.pages.session import Operators
from tests.operate.operator import NAME, Operator
from tests.web.service import serve

TOKEN = "operate-0b9d2c7f41aa"
OTHER_TOKEN = "operate-77c3e1d0b2f4"
TOKENS = [(NAME, TOKEN), ("ben", OTHER_TOKEN)]


@dataclass(frozen=True)
class Site:
    """The pages in one browser; ``operator`` lets things happen to events."""

    browser: FlaskClient
    operator: Operator

    def get(self, path: str = "") -> TestResponse:
        """Open a page below ``/operate``."""
        return self.browser.get(f"/operate{path}")

    def post(self, path: str, **fields: str) -> TestResponse:
        """Send a form of the site, with its session's token against forgery."""
        token = csrf_token(self.get("/sign-in").text)
        return self.browser.post(f"/operate{path}", data={"csrf_token": token, **fields})

    def decide(self, event_id: str, action: str, **fields: str) -> TestResponse:
        """Take a decision about one event, confirmed."""
        return self.post(f"/events/{event_id}", action=action, confirmed="yes", **fields)

    def sign_in(self, token: str = TOKEN, **fields: str) -> TestResponse:
        """Sign in."""
        return self.post("/sign-in", token=token, **fields)

    def text(self, path: str = "") -> str:
        """Return what a page shows, without its markup."""
        response = self.get(path)
        assert 200 == response.status_code, response.text
        return plain(response)


def open_site(operator: Operator, *, tokens: list[tuple[str, str]] = TOKENS) -> Site:
    """Open the pages in a browser of its own; a wrong token is answered at once."""
    browser = serve(operator.bench.client).caller
    register_pages(
        browser.application, operator.operations, Operators(tokens), wrong_token_seconds=0
    )
    return Site(browser, operator)


def csrf_token(page: str) -> str:
    """Return the token of a page's forms."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


def plain(response: TestResponse) -> str:
    """Return what a page shows, with single spaces."""
    main = response.text.partition("<main")[2].partition(">")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", main)).split())


def events_of(response: TestResponse) -> list[str]:
    """Return the ids of the events that a page lists."""
    return re.findall(r'<th scope="row"><a href="/operate/events/([^"]+)"', response.text)


def lose_redis(operator: Operator) -> None:
    """Lose the connection at each command from now on, after the command is done."""
    operator.scripts.lost = 1_000_000
