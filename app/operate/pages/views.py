"""The pages behind the sign-in: overview, lists, one event, and the decisions."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import structlog
from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from app.chats.errors import NothingDone
from app.chats.record import FailureCode, Record, Status
from app.operate.actions import BULK_ACTIONS, Action, decide, describe, list_actions, why_not
from app.operate.filters import WrongValue, parse_chat_id, parse_event_id
from app.operate.pages.forms import Filters, format_position, read_filters, read_position
from app.operate.pages.listing import read_listing
from app.operate.pages.plot import MINUTES, draw_rows
from app.operate.pages.session import current_operator
from app.operate.selection import Selection, count_status
from app.operate.words import describe_gate, describe_why, explain, list_moments
from app.store.operations import Operations, Position

LISTS = {"held": Status.UNKNOWN, "failed": Status.FAILED, "waiting": Status.ACCEPTED}
MAX_SHOWN = 20  # of a preview
# A decision about many takes as long as this in one request; the page offers to go on.
BULK_SECONDS = 10.0

log = structlog.get_logger("relay.operate")

Page = str | tuple[str, int] | BaseResponse


class OperatorViews:
    """The views; each reads Redis once or twice, and none keeps anything."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def add_to(self, pages: Blueprint) -> None:
        """Add the routes."""
        pages.add_url_rule("", view_func=self.overview, methods=["GET"])
        pages.add_url_rule("/find", view_func=self.find, methods=["GET"])
        for name in LISTS:
            defaults = {"name": name}
            rule = f"/{name}"
            pages.add_url_rule(rule, "events", self.list_events, defaults=defaults, methods=["GET"])
            pages.add_url_rule(
                rule, "decide_all", self.decide_all, defaults=defaults, methods=["POST"]
            )
        event = "/events/<event_id>"
        pages.add_url_rule(event, "event", self.show_event, methods=["GET"])
        pages.add_url_rule(event, "decide", self.decide_one, methods=["POST"])
        pages.add_url_rule("/pause", view_func=self.pause, methods=["POST"])
        pages.add_url_rule("/resume", view_func=self.resume, methods=["POST"])
        pages.add_url_rule("/<path:unknown>", view_func=self.not_found, methods=["GET"])

    def overview(self) -> Page:
        """Show counts, gate, workers, and the last hour."""
        return self._show_overview(None)

    def find(self) -> Page:
        """Lead to the event with the id that was entered."""
        event_id = request.args.get("event_id", "").strip()
        try:
            return redirect(url_for("operate.event", event_id=parse_event_id(event_id)))
        except WrongValue as error:
            return self._show_missing(event_id, str(error), 422)

    def list_events(self, name: str) -> Page:
        """Show a page of a list."""
        filters = read_filters(request.args)
        stats = self._operations.relay_stats()
        status = LISTS[name]
        content: dict[str, Any] = {
            "name": name,
            "filters": filters,
            "stats": stats,
            "total": count_status(stats, status),
            "actions": BULK_ACTIONS[status],
            "describe_why": describe_why,
        }
        if filters.errors:
            return render_template("operate/list.html", **content, listing=None), 422
        after = read_position(request.args.get("after", ""))
        listing = read_listing(self._operations, filters.selection(status, after=after))
        following = {"after": format_position(listing.next)} if listing.next else {}
        address: dict[str, Any] = filters.hidden | following
        return render_template(
            "operate/list.html",
            **content,
            listing=listing,
            next=following and url_for("operate.events", name=name, **address),
            is_first=after is None,
        )

    def show_event(self, event_id: str) -> Page:
        """Show one event: its time line, why it is where it is, and what can be decided."""
        return self._show_event(event_id)

    def decide_one(self, event_id: str) -> Page:
        """Ask about a decision, and take it once it is confirmed."""
        action = _read_action()
        chat_id = request.form.get("chat_id", "")
        if action is Action.PUBLISH:
            try:
                parse_chat_id(chat_id)
            except WrongValue as error:
                return self._show_event(event_id, notice=f"Nothing was done: {error}", status=422)
        try:
            history = self._operations.event_history(parse_event_id(event_id))
            if "confirmed" not in request.form:
                return self._ask_about(action, history.record, chat_id)
            record = decide(
                self._operations,
                action,
                event_id,
                by=_operator(),
                chat_id=chat_id,
                code=request.form.get("code") or None,
            )
        except (NothingDone, WrongValue) as refusal:
            _log(action, event_id, refused=str(refusal))
            return self._show_event(event_id, notice=f"Nothing was done: {refusal}.", status=409)
        _log(action, event_id)
        flash(f"Done: {event_id} is {record.status} now.")
        return redirect(url_for("operate.event", event_id=event_id), 303)

    def decide_all(self, name: str) -> Page:
        """Preview a decision about all that match, and take it once it is confirmed."""
        action, status = _read_action(), LISTS[name]
        filters = read_filters(request.form)
        if action not in BULK_ACTIONS[status] or filters.errors:
            abort(400, "This decision does not fit the list, or a filter is wrong.")
        if "confirmed" not in request.form:
            return self._preview(name, action, filters, filters.selection(status))
        after = read_position(request.form.get("after", ""))
        selection = replace(filters.selection(status, after=after), limit=_read_count("limit"))
        return self._decide_all(name, action, filters, selection)

    def pause(self) -> Page:
        """Pause all calls."""
        return self._set_pause(is_paused=True)

    def resume(self) -> Page:
        """End the pause."""
        return self._set_pause(is_paused=False)

    def not_found(self, unknown: str) -> Page:  # noqa: ARG002 - Flask's
        """Answer an address that has no page."""
        abort(404)

    def _show_overview(self, notice: str | None, status: int = 200) -> Page:
        stats = self._operations.relay_stats()
        minutes = self._operations.recent_minutes(MINUTES)
        page = render_template(
            "operate/overview.html",
            stats=stats,
            gate=describe_gate(stats),
            minutes=minutes,
            rows=draw_rows(minutes),
            notice=notice,
            is_refreshed="refresh" in request.args,
        )
        return page, status

    def _set_pause(self, *, is_paused: bool) -> Page:
        action = "pause" if is_paused else "resume"
        try:
            (self._operations.pause if is_paused else self._operations.resume)(by=_operator())
        except NothingDone as refusal:
            _log(action, None, refused=str(refusal))
            return self._show_overview(f"Nothing was done: {refusal}.", 409)
        _log(action, None)
        flash("No call begins until they are resumed." if is_paused else "Calls go on.")
        return redirect(url_for("operate.overview"), 303)

    def _show_event(self, event_id: str, *, notice: str | None = None, status: int = 200) -> Page:
        try:
            history = self._operations.event_history(parse_event_id(event_id))
        except (NothingDone, WrongValue) as refusal:
            return self._show_missing(event_id, notice or f"{refusal}", 404)
        stats = self._operations.relay_stats()
        page = render_template(
            "operate/event.html",
            record=history.record,
            stats=stats,
            moments=list_moments(history),
            explanation=explain(history, stats).sentences,
            actions=list_actions(history),
            why=describe_why(history.record),
            notice=notice,
        )
        return page, status

    def _show_missing(self, event_id: str, why: str, status: int) -> Page:
        page = render_template("operate/error.html", title=f"No event {event_id}", text=why)
        return page, status

    def _ask_about(self, action: Action, record: Record, chat_id: str) -> Page:
        return render_template(
            "operate/confirm.html",
            action=action,
            record=record,
            chat_id=chat_id,
            code=record.last_failure.code if record.last_failure else "",
            sentences=describe(action, record, chat_id=chat_id),
            why=describe_why(record),
        )

    def _preview(self, name: str, action: Action, filters: Filters, selection: Selection) -> Page:
        """Count what a decision would change, and show the first of it."""
        until = time.monotonic() + BULK_SECONDS
        shown: list[Record] = []
        codes, refusals = Counter[str](), Counter[str]()
        is_whole = True
        for page in selection.pages(self._operations):
            for _, record in page.events:
                if reason := _why_not(action, record):
                    refusals[reason] += 1
                elif record:
                    codes[describe_why(record) or "no failure"] += 1
                    shown += [record] if len(shown) < MAX_SHOWN else []
            if time.monotonic() > until:
                is_whole = False
                break
        return render_template(
            "operate/preview.html",
            name=name,
            action=action,
            filters=filters,
            count=codes.total(),
            limit=codes.total() + refusals.total(),
            is_whole=is_whole,
            codes=codes.most_common(),
            refusals=refusals.most_common(),
            shown_rows=[(record.event_id, record) for record in shown],
            is_maybe_twice=any(f": {FailureCode.NO_ANSWER}" in code for code in codes),
            describe_why=describe_why,
        )

    def _decide_all(
        self, name: str, action: Action, filters: Filters, selection: Selection
    ) -> Page:
        """Decide about each event that is selected, for a while, and show what became of them."""
        until = time.monotonic() + BULK_SECONDS
        decided, refusals = 0, Counter[str]()
        last, left = selection.after, selection.limit or 0
        try:
            for event_id, record, position in _walk(self._operations, selection):
                last, left = position, left - 1
                try:
                    self._decide_listed(action, event_id, record)
                except NothingDone as refusal:
                    refusals[refusal.reason] += 1
                else:
                    decided += 1
                if time.monotonic() > until:
                    break
            else:
                left = 0
        finally:  # Redis may have gone: each event is decided by itself, so those before are done
            _log(action, None, list=name, decided=decided, refused=dict(refusals))
        return render_template(
            "operate/decided.html",
            name=name,
            action=action,
            filters=filters,
            decided=decided,
            refusals=refusals.most_common(),
            left=left,
            after=last and format_position(last),
        )

    def _decide_listed(self, action: Action, event_id: str, record: Record | None) -> None:
        """Decide about one of many. Raises ``NothingDone``."""
        if reason := _why_not(action, record):
            raise NothingDone(event_id, reason=reason)
        failure = record.last_failure if record else None
        # With the code: another failure, that came meanwhile, was not asked about.
        code = failure.code if failure else None
        decide(self._operations, action, event_id, by=_operator(), code=code)


def _walk(
    operations: Operations, selection: Selection
) -> Iterator[tuple[str, Record | None, Position]]:
    for page in selection.pages(operations):
        for event_id, record in page.events:
            yield event_id, record, Position(page.scores[event_id], event_id)


def _why_not(action: Action, record: Record | None) -> str | None:
    if record is None:
        return "a newer release of the relay wrote it"
    return why_not(action, record)


def _read_action() -> Action:
    try:
        return Action(request.form.get("action", ""))
    except ValueError:
        abort(400, "There is no such decision.")


def _read_count(name: str) -> int:
    text = request.form.get(name, "")
    if not re.fullmatch(r"[1-9]\d{0,8}", text, re.ASCII):
        abort(400, f"The field {name} must be a count.")
    return int(text)


def _operator() -> str:
    return current_operator() or ""


def _log(action: str, event_id: str | None, **fields: Any) -> None:
    """Log a decision, taken or refused, and whose it was."""
    named = {"event_id": event_id} if event_id else {}
    log.info("operator_decided", by=_operator(), action=action, **named, **fields)
