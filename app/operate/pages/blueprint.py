"""The blueprint of the operator's pages: who is let in, its policy, and its error pages."""

import base64
import hashlib
from pathlib import Path

import structlog
from flask import Blueprint, Flask, Response, redirect, render_template, request, url_for
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from app.chats.errors import StoreRefused, StoreUnavailable
from app.operate.pages.session import (
    COOKIE_SETTINGS,
    Operators,
    OperatorSession,
    current_operator,
)
from app.operate.pages.sign_in import SignInViews
from app.operate.pages.views import OperatorViews
from app.operate.words import format_time
from app.store.operations import Operations

MAX_FORM_BYTES = 8 * 1024
WRONG_TOKEN_SECONDS = 1.0
STYLE = Path(__file__).with_name("pages.css").read_text(encoding="utf-8")

_digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
# A page loads and runs nothing, and its forms go to the relay alone.
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_digest}'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
# Open to strangers.
SIGN_IN = "operate.show_sign_in", "operate.sign_in"

log = structlog.get_logger("relay.operate")


def register_pages(
    app: Flask,
    operations: Operations,
    operators: Operators,
    *,
    wrong_token_seconds: float = WRONG_TOKEN_SECONDS,
) -> None:
    """Add the operator's pages to ``app``, for ``operators`` alone."""
    app.secret_key = operators.cookie_key
    app.session_interface = OperatorSession()
    app.config.update(COOKIE_SETTINGS)
    # Forms of these pages alone are checked, and for as long as their session lasts.
    app.config.update(WTF_CSRF_CHECK_DEFAULT=False, WTF_CSRF_TIME_LIMIT=None)
    pages = Blueprint("operate", __name__, url_prefix="/operate", template_folder="templates")
    _let_in_operators(pages, CSRFProtect(app))
    _add_error_pages(pages)
    SignInViews(operators, wrong_token_seconds).add_to(pages)
    OperatorViews(operations).add_to(pages)
    app.register_blueprint(pages)


def _let_in_operators(pages: Blueprint, csrf: CSRFProtect) -> None:
    @pages.before_request
    def admit() -> BaseResponse | None:
        request.max_content_length = MAX_FORM_BYTES
        if request.endpoint not in SIGN_IN and current_operator() is None:
            is_page = request.method == "GET"
            wanted = request.full_path.rstrip("?") if is_page else url_for("operate.overview")
            return redirect(url_for("operate.show_sign_in", next=wanted), 303)
        csrf.protect()
        return None

    @pages.after_request
    def add_policy(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response

    @pages.context_processor
    def add_context() -> dict[str, object]:
        return {"operator": current_operator(), "style": STYLE, "time": format_time}


def _add_error_pages(pages: Blueprint) -> None:
    @pages.errorhandler(StoreUnavailable)
    def show_outage(error: StoreUnavailable) -> tuple[str, int]:
        log.warning("redis_unavailable", reason=str(error))
        is_decision = request.method == "POST"
        has_refused = isinstance(error, StoreRefused)
        page = render_template(
            "operate/outage.html", error=error, is_decision=is_decision, has_refused=has_refused
        )
        return page, 503

    @pages.errorhandler(CSRFError)
    def show_forged_form(error: CSRFError) -> tuple[str, int]:
        return _error_page(
            "This form is not valid here",
            f"{error.description} Nothing was done. Open the page anew and repeat.",
            400,
        )

    # An internal error arrives here as InternalServerError, once Flask has logged it.
    @pages.errorhandler(HTTPException)
    def show_error(error: HTTPException) -> tuple[str, int]:
        return _error_page(error.name, error.description or "", error.code or 500)


def _error_page(title: str, text: str, status: int) -> tuple[str, int]:
    return render_template("operate/error.html", title=title, text=text), status
