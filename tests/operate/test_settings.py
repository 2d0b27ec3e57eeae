"""``settings`` shows what each process would run with, and never a secret."""

import json
import re
from collections.abc import Mapping

import pytest
from certifi import where
from click.testing import CliRunner, Result

from app.bootstrap.operate import build_cli_context
from app.operate.commands import cli

ALL = {
    "REDIS_URL": "redis://:redis-password@127.0.0.1:1/0",
    "SUBMIT_TOKENS": "orders:submit-token-5bd1",
    "READ_TOKENS": "crm:read-token-c6a4a",
    "WEBHOOK_SECRETS": "whsec_d2ViaG9vay1zZWNyZXQtb2YtMjQtYnl0ZXM=",
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
        cli, ["settings", *options], obj=build_cli_context(environ), catch_exceptions=False
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
def test_settings_names_variables_without_effect(broken: dict[str, str]) -> None:
    """One that is misspelt, or has done its time, is no problem; beside others too."""
    environ = ALL | broken | {"WEB_THREADS": "many", "KEY_PREFX": "eu"}

    web = json.loads(show(environ, "--json").stdout)["web"]

    assert {"WEB_THREADS", "KEY_PREFX"} == web["ignored"].keys()
    assert len(broken) == len(web["problems"])
    assert "- KEY_PREFX: no setting has this name: is KEY_PREFIX meant?" in show(environ).stdout


@pytest.mark.parametrize(
    ("process", "code"), [([], 0), (["--for", "web"], 0), (["--for", "worker"], 2)]
)
def test_settings_for_one_process_end_with_its_own_verdict(process: list[str], code: int) -> None:
    """The deployment of a worker can be checked by itself."""
    environ = {name: text for name, text in ALL.items() if not name.startswith("CHANNEL_")}

    done = show(environ, *process, "--json")

    assert code == done.exit_code
    assert {*(process[1:] or ["web", "worker"])} == json.loads(done.stdout).keys()


URLS = {
    "redis://me:geheim@redis.internal:6380/4": "redis://redis.internal:6380/4",
    f"rediss://:geheim@redis/2?ssl_ca_certs={where()}": "rediss://redis:6379/2",
    "unix://me:geheim@/run/redis.sock?db=2": "unix:///run/redis.sock?db=2",
    "redis+sentinel://me:geheim@a,b:2/main/1?ssl=true": "redis+sentinel://a:26379,b:2/main/1",
    "redis+cluster://:geheim@a,b:7000": "redis+cluster://a:6379,b:7000/0",
}


@pytest.mark.parametrize(("url", "shown"), URLS.items(), ids=URLS)
@pytest.mark.parametrize("broken", [{}, {"KEY_PREFIX": "a:b"}])
def test_settings_shows_where_redis_is(url: str, shown: str, broken: dict[str, str]) -> None:
    """Host and database, so that a wrong one is noticed; never the user or the password."""
    output = show(ALL | broken | {"REDIS_URL": url}, "--json").stdout

    assert shown == json.loads(output)["web"]["settings"]["REDIS_URL"]
    assert not re.search(r"geheim|\bme\b", output)


def test_settings_reports_contradicting_values() -> None:
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
