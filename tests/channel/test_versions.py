"""The versions of Channel.io's API: the address, the header and the options of each request."""

import json

import pytest

from app.channel.versions import version_of
from app.chats.outcome import Created, Done, Resolved
from tests.channel.grants import create_of, message_of, open_of, perform, resolve_of
from tools.stack.channel_io import ChannelIo

# Path of the base URL, CHANNEL_API_VERSION, and the option that goes with "private".
VERSIONS = [
    ("/open/v4", None, "silent"),
    ("/open/v5", None, "silentToUser"),
    ("/open", "2026-06-01", "silentToUser"),
    ("/open/v4", "2026-06-01", "silent"),
]


@pytest.mark.parametrize(("path", "version", "option"), VERSIONS)
def test_each_task_is_done_in_each_version(
    stand_in: ChannelIo, chat_id: str, path: str, version: str | None, option: str
) -> None:
    """Looks and writes have the base URL's path, and the header where a version is set."""
    url = stand_in.url.removesuffix("/open/v4") + path
    stand_in.put_member("m1", "u1")
    before = len(stand_in.requests)
    grants = [
        resolve_of("m1"),
        create_of("u1"),
        message_of(chat_id=chat_id, private=True),
        open_of(chat_id),
    ]

    outcomes = [perform(url, grant, api_version=version) for grant in grants]

    assert [Resolved, Created, Done, Done] == [type(outcome) for outcome in outcomes]
    requests = stand_in.requests[before:]
    chat = f"{path}/user-chats/{chat_id}"
    assert [
        ("GET", f"{path}/users/@m1"),
        ("POST", f"{path}/users/u1/user-chats"),
        ("GET", f"{chat}/messages"),
        ("POST", f"{chat}/messages"),
        ("GET", chat),
        ("PUT", f"{chat}/open"),
    ] == [(request.method, request.path.partition("?")[0]) for request in requests]
    assert {version} == {request.headers.get("channel-version") for request in requests}
    assert ["private", option] == json.loads(requests[3].body)["options"]


@pytest.mark.parametrize(("path", "version", "_option"), VERSIONS)
def test_a_message_for_all_has_no_options(
    stand_in: ChannelIo, chat_id: str, path: str, version: str | None, _option: str
) -> None:
    """In no version."""
    url = stand_in.url.removesuffix("/open/v4") + path

    perform(url, message_of(chat_id=chat_id), api_version=version)

    assert {"plainText", "requestId"} == json.loads(stand_in.requests[-1].body).keys()


@pytest.mark.parametrize(
    ("base_url", "option"),
    [
        ("https://api.channel.io/open/v4", "silent"),
        ("https://gateway.example/channel/v4", "silent"),
        ("https://api.channel.io/open/v5", "silentToUser"),
        ("https://api.channel.io/open", "silentToUser"),
        ("https://api.channel.io/open/v40", "silentToUser"),
        ("https://api.channel.io/v4/open", "silentToUser"),
    ],
)
def test_the_last_part_of_the_path_names_the_version(base_url: str, option: str) -> None:
    """The part before it may be a gateway's."""
    assert option == version_of(base_url).silent_option
