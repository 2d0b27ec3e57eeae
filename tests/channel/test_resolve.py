"""Resolving a member: the request, merged users, and answers that name no user."""

import json
from typing import Any
from urllib.parse import unquote

import pytest

from app.chats.outcome import LookFailed, Refused, Resolved
from app.chats.record import FailureCode
from tests.channel.calls import http
from tests.channel.grants import perform, perform_counted, resolve_of
from tests.channel.raw_server import RawServer, say, say_in_turn
from tools.stack.channel_io import ChannelIo

MEMBER_IDS = [
    "8841",
    "a/b",
    "../../channel",
    "a?b=c&d#e",
    "100%",
    "%2F",
    "%41",
    "a+b",
    "김민지",
    "🎉",
    "é" * 64,
    ".",
    "..",
    "@8841",
    "kim@example.com",
    "a\\b",
    ";:,'\"<>|`{}[]^",
]


def user(**fields: Any) -> bytes:
    """An answer with a user of these fields."""
    return http(200, json.dumps({"user": fields}).encode())


def merged(user_id: str, into: str) -> bytes:
    """An answer with a user that was merged."""
    return user(id=user_id, type="unified", unifiedId=into)


@pytest.mark.parametrize("member_id", MEMBER_IDS)
def test_any_member_id_is_one_segment_of_the_path(stand_in: ChannelIo, member_id: str) -> None:
    """One GET, percent-encoded, of this very member, and no part of it is a path or a query."""
    stand_in.put_member(member_id, "user-of-the-member")
    before = len(stand_in.requests)

    outcome, requests = perform_counted(stand_in.url, resolve_of(member_id))

    (request,) = stand_in.requests[before:]
    assert (Resolved("user-of-the-member"), 1) == (outcome, requests)
    start, at, segment = request.path.partition("@")
    assert ("GET", b"", "/open/v4/users/", "@") == (request.method, request.body, start, at)
    assert member_id == unquote(segment)
    assert segment.isascii()
    assert not {"/", "?", "#", "@", "+"} & set(segment)


@pytest.mark.parametrize("status", [404, 422])
@pytest.mark.parametrize("body", [b"", b"{}", b'{"errors": [{"field": "userId"}]}', b"<h1>"])
def test_an_unknown_member_is_not_found(status: int, body: bytes) -> None:
    """The versions differ in the status; neither needs a readable body."""
    with RawServer(say(http(status, body))) as server:
        outcome = perform(server.url, resolve_of("m1"))

    detail = f"Channel.io answered {status}: it has no such user."
    assert Refused(FailureCode.USER_NOT_FOUND, detail, status, has_acted=False) == outcome


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_a_merged_user_is_followed(stand_in: ChannelIo, hops: int) -> None:
    """Up to three times over; each hop is a request of its own, by the user's id."""
    stand_in.put_member("m1", "user-0")
    for hop in range(hops):
        stand_in.merge_user(f"user-{hop}", f"user-{hop + 1}")
    before = len(stand_in.requests)

    outcome, requests = perform_counted(stand_in.url, resolve_of("m1"))

    assert (Resolved(f"user-{hops}"), 1 + hops) == (outcome, requests)
    paths = [request.path.removeprefix("/open/v4/users/") for request in stand_in.requests[before:]]
    assert ["@m1", *(f"user-{hop + 1}" for hop in range(hops))] == paths


@pytest.mark.parametrize(
    "chain",
    [
        [("user-0", "user-1"), ("user-1", "user-2"), ("user-2", "user-3"), ("user-3", "user-4")],
        [("user-0", "user-1"), ("user-1", "user-0")],
        [("user-0", "user-0")],
    ],
    ids=["four hops", "cycle", "itself"],
)
def test_a_user_beyond_the_third_hop_is_not_found(
    stand_in: ChannelIo, chain: list[tuple[str, str]]
) -> None:
    """A cycle ends there as well."""
    stand_in.put_member("m1", "user-0")
    for user_id, into in chain:
        stand_in.merge_user(user_id, into)

    outcome, requests = perform_counted(stand_in.url, resolve_of("m1"))

    assert isinstance(outcome, Refused)
    assert (FailureCode.USER_NOT_FOUND, 200, False) == (
        outcome.code,
        outcome.upstream_status,
        outcome.has_acted,
    )
    assert 4 == requests


def test_a_merged_user_that_is_gone_is_not_found() -> None:
    """The answer to any hop decides."""
    with RawServer(say_in_turn(merged("user-0", "user-1"), http(404, b""))) as server:
        outcome = perform(server.url, resolve_of("m1"))

    assert isinstance(outcome, Refused)
    assert (FailureCode.USER_NOT_FOUND, False) == (outcome.code, outcome.has_acted)


def test_a_unified_id_counts_only_of_a_merged_user() -> None:
    """Others may have the field too."""
    with RawServer(say(user(id="user-1", type="member", unifiedId="user-2"))) as server:
        outcome = perform(server.url, resolve_of("m1"))

    assert Resolved("user-1") == outcome


@pytest.mark.parametrize(
    "answer",
    [
        user(),
        user(id=7),
        user(id=""),
        user(id="a/b"),
        user(id="x" * 65),
        user(id="김"),
        user(id="user-1\n"),
        user(id="user-1", type="unified"),
        user(id="user-1", type="unified", unifiedId=None),
        user(id="user-1", type="unified", unifiedId="../channel"),
        user(id="user-1", type="unified", unifiedId=["user-2"]),
        http(200, b'{"user": null}'),
        http(200, b'{"user": ["id"]}'),
        http(200, b'{"id": "user-1"}'),
        http(200, b"[]"),
        http(200, b"<h1>OK</h1>"),
        http(200, b'{"user": {"id": "user-1"}', length=1000),
        http(204, b""),
    ],
)
def test_an_answer_without_a_readable_user_is_a_failed_look(answer: bytes) -> None:
    """It is neither a missing user nor in doubt: it is repeated."""
    with RawServer(say(answer)) as server:
        outcome = perform(server.url, resolve_of("m1"))

    assert isinstance(outcome, LookFailed)
    assert outcome.detail.endswith("without a readable user.")
    assert "look_failed" == outcome.reason
