"""``Prefer: wait``: https://www.rfc-editor.org/rfc/rfc7240"""

import re
from urllib.request import parse_http_list

from flask import Request

MAX_WAIT_SECONDS = 30

_NAME_IS_WAIT = re.compile(r"wait\s*(?:[=;]|$)", re.IGNORECASE)
# The value may be quoted, and parameters may follow, which mean nothing here.
_WAIT = re.compile(
    r'wait\s*=\s*(?P<quote>"?)(?P<digits>[0-9]+)(?P=quote)\s*(?:;.*)?', re.IGNORECASE
)


def preferred_wait(request: Request) -> int:
    """Return how many seconds the caller prefers to wait, 0 where no preference can be read.

    Of several ``wait`` preferences the first counts, as section 2 of the RFC has it.
    """
    for preference in parse_http_list(",".join(request.headers.getlist("Prefer"))):
        if _NAME_IS_WAIT.match(preference):
            wait = _WAIT.fullmatch(preference)
            return min(_seconds(wait["digits"]), MAX_WAIT_SECONDS) if wait else 0
    return 0


def _seconds(digits: str) -> int:
    """Parse the number, cut to its first digits: thousands of them are as many seconds as a few."""
    return int(digits.lstrip("0")[:3] or "0")
