"""``settings`` shows what each process would run with, and never a secret."""

import json
from collections.abc import Mapping

import pytest
from click.testing import CliRunner, Result

from app.bootstrap.operate import desk
from app.operate.commands import cli

ALL = {
    "REDIS_URL": "redis://:redis-password@127.0.0.1:1/0",
    "SUBMIT_TOKENS": "orders:submit-token",
    "READ_TOKENS": "crm:read-token",
    "WEBHOOK_SECRETS": "whsec_d2ViaG9vay1zZWNyZXQ=",
    "CHANNEL_ACCESS_KEY": "access-key",
    "CHANNEL_ACCESS_SECRET": "access-secret",
    "EVENT_DEADLINE_SECONDS": "600",
    "RATE_LIMIT_PER_SECOND": "2.5",
}
SECRETS = (
    *("redis-password", "submit-token", "read-token", "d2ViaG9v", "access-key", "access-secret"),
)


def show(environ: Mapping[str, str], *options: str) -> Result:
    """Run the command as it is run in that environment."""
    return CliRunner().invoke(
        cli, ["settings", *options], obj=desk(environ), catch_exceptions=False
    )


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("broken", [{}, {"PORT": "access-key", "READ_TOKENS": "read-token"}])
def test_no_secret_is_ever_shown(options: list[str], broken: dict[str, str]) -> None:
    """Nor what is wrong with it."""
    done = show(ALL | broken, *options)

    assert "" == done.stderr
    assert [] == [secret for secret in SECRETS if secret in done.stdout]


def test_settings_lists_problems_and_shows_the_rest() -> None:
    """The web's container has no access key: that is a problem of a worker only."""
    environ = {name: text for name, text in ALL.items() if not name.startswith("CHANNEL_")}

    done = show(environ | {"RATE_LIMIT_BURST": "0"}, "--json")

    worker = json.loads(done.stdout)["worker"]
    assert (0, []) == (done.exit_code, json.loads(done.stdout)["web"]["problems"])
    assert ["CHANNEL_ACCESS_KEY", "CHANNEL_ACCESS_SECRET", "RATE_LIMIT_BURST"] == sorted(
        problem.partition(":")[0] for problem in worker["problems"]
    )
    assert 2.5 == worker["settings"]["RATE_LIMIT_PER_SECOND"]
    assert "RATE_LIMIT_BURST" not in worker["settings"]


@pytest.mark.parametrize("broken", [{}, {"PORT": "0"}])
def test_settings_shows_that_web_threads_is_ignored(broken: dict[str, str]) -> None:
    """A value that it could never have had is no problem either."""
    done = show(ALL | broken | {"WEB_THREADS": "many"}, "--json")

    web = json.loads(done.stdout)["web"]
    assert "ignored: it has no effect any more, unset it" == web["settings"]["WEB_THREADS"]
    assert [] == [problem for problem in web["problems"] if "WEB_THREADS" in problem]


def test_settings_tells_of_two_that_do_not_go_together() -> None:
    """Each is shown, and the problem with both."""
    done = show(ALL | {"RECORD_TTL_SECONDS": "60"})

    assert 2 == done.exit_code
    assert "! EVENT_DEADLINE_SECONDS: 600 is longer than RECORD_TTL_SECONDS" in done.stdout


def test_settings_of_an_empty_environment_are_the_defaults() -> None:
    """Nothing could start so; every required variable is named."""
    done = show({})

    assert (2, "") == (done.exit_code, done.stderr)
    for name in ("REDIS_URL", "SUBMIT_TOKENS", "READ_TOKENS", "CHANNEL_ACCESS_KEY"):
        assert f"! {name}: is not set" in done.stdout
    assert "RECORD_TTL_SECONDS" in done.stdout


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SPOOL_DIR", "/var/spool/relay"),
        ("ON_UNKNOWN", "recreate"),
        ("REDIS_ALLOW_UNSAFE", "1"),
        ("CHANNEL_API_VERSION", "v5"),
        ("METRICS_PORT", "9090"),
        ("LOG_LEVEL", "debug"),
    ],
)
def test_settings_shows_each_beside_a_problem(name: str, text: str) -> None:
    """Whatever its type; what it must be is looked at there too."""
    environ = {given: value for given, value in ALL.items() if given != "CHANNEL_ACCESS_KEY"}

    (shown, refused) = (
        json.loads(show(environ | {name: given}, "--json").stdout)["worker"]
        for given in (text, "\x7f")
    )

    assert {"1": True, "9090": 9090, "debug": "DEBUG"}.get(text, text) == shown["settings"][name]
    assert refused["settings"].get(name) in {None, "\x7f" if name == "SPOOL_DIR" else None}
