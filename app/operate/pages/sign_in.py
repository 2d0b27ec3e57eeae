"""Signing in with an operator's token, and signing out."""

import re
import time

import structlog
from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from app.operate.pages.session import Operators, current_operator, sign_in, sign_out

# A page of these, and no other site's: after two slashes, or a backslash, comes a host.
_OWN_PAGE = re.compile(r"/operate(?:/[A-Za-z0-9._~:/-]*)?(?:\?[A-Za-z0-9._~:%&=+-]*)?")

log = structlog.get_logger("relay.operate")


class SignInViews:
    """The views of sign-in and sign-out; a wrong token is answered late."""

    def __init__(self, operators: Operators, wrong_token_seconds: float) -> None:
        self._operators = operators
        self._wrong_token_seconds = wrong_token_seconds

    def add_to(self, pages: Blueprint) -> None:
        """Add the routes."""
        pages.add_url_rule("/sign-in", view_func=self.show_sign_in, methods=["GET"])
        pages.add_url_rule("/sign-in", view_func=self.sign_in, methods=["POST"])
        pages.add_url_rule("/sign-out", view_func=self.sign_out, methods=["POST"])

    def show_sign_in(self) -> str:
        """Show the form."""
        return render_template("operate/sign_in.html", next=_read_next(request.args.get("next")))

    def sign_in(self) -> BaseResponse | tuple[str, int]:
        """Sign the operator in, and lead to the page that was asked for."""
        wanted = _read_next(request.form.get("next"))
        name = self._operators.find(request.form.get("token", "").strip())
        if name is None:
            log.warning("operator_refused", peer=request.remote_addr)
            time.sleep(self._wrong_token_seconds)  # of this request alone
            return render_template("operate/sign_in.html", next=wanted, is_refused=True), 401
        sign_in(name)
        log.info("operator_signed_in", by=name, peer=request.remote_addr)
        return redirect(wanted, 303)

    def sign_out(self) -> BaseResponse:
        """Sign the operator out in this browser."""
        log.info("operator_signed_out", by=current_operator())
        sign_out()
        return redirect(url_for("operate.show_sign_in"), 303)


def _read_next(address: str | None) -> str:
    is_own = address and _OWN_PAGE.fullmatch(address)
    return address if address and is_own else url_for("operate.overview")
