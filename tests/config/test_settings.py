"""What may be set, what is refused, and that no secret is told on the way."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from config.environment import SECRETS
from config.settings import (
    Settings,
    SettingsInvalid,
    WebSettings,
    WorkerSettings,
    effective,
    load,
    load_or_exit,
)
from tests.config.environments import SECRET, WEB, WORKER


def problems_of(model: type[Settings], environ: Mapping[str, str]) -> list[str]:
    """Return the problems for which ``environ`` is refused; none if it is not."""
    try:
        load(model, environ)
    except SettingsInvalid as invalid:
        return invalid.problems
    return []


def test_defaults_are_those_of_the_design() -> None:
    """Only what has no safe default must be set; the rest is as documented."""
    web, worker = effective(load(WebSettings, WEB)), effective(load(WorkerSettings, WORKER))

    assert {
        "REDIS_ALLOW_UNSAFE": False,
        "KEY_PREFIX": "relay",
        "RECORD_TTL_SECONDS": 2592000,
        "EVENT_DEADLINE_SECONDS": 86400,
        "MIN_REPLICAS_ACKED": 0,
        "LOG_LEVEL": "INFO",
        "OTEL_EXPORTER_OTLP_ENDPOINT": None,
        "PORT": 8000,
        "WEB_THREADS": None,
        "MAX_BACKLOG": 100000,
        "WEBHOOK_SECRETS": "",
    }.items() <= web.items()
    assert {
        "CHANNEL_API_URL": "https://api.channel.io/open/v4",
        "CHANNEL_API_VERSION": None,
        "WORKER_CONCURRENCY": 16,
        "CALL_CONNECT_TIMEOUT_SECONDS": 3,
        "CALL_DEADLINE_SECONDS": 15,
        "RATE_LIMIT_PER_SECOND": 10,
        "RATE_LIMIT_BURST": 100,
        "BREAKER_THRESHOLD": 5,
        "BREAKER_COOLDOWN_SECONDS": 5,
        "ON_UNKNOWN": "hold",
        "SPOOL_DIR": "spool",
        "METRICS_PORT": None,
    }.items() <= worker.items()


def test_all_problems_are_told_at_once() -> None:
    """One start tells all that is wrong, one line for each variable."""
    environ = {"PORT": "http", "MAX_BACKLOG": "0", "LOG_LEVEL": "loud", "SUBMIT_TOKENS": "secret"}

    problems = problems_of(WebSettings, environ)

    assert [
        (
            "REDIS_URL: is not set, and must be a URL that starts with redis://, rediss://, "
            "unix://, redis+sentinel:// or redis+cluster://"
        ),
        "LOG_LEVEL: must be DEBUG, INFO, WARNING, ERROR or CRITICAL",
        "PORT: must be a whole number from 1 to 65535",
        "MAX_BACKLOG: must be a whole number from 1 to 100000000",
        "SUBMIT_TOKENS: entry 1 must be name:token",
        "READ_TOKENS: is not set, and must be name:token,name:token with a name for each caller",
    ] == problems


@pytest.mark.parametrize("name", sorted(WEB))
@pytest.mark.parametrize("blank", ["", "  "])
def test_blank_is_unset(name: str, blank: str) -> None:
    """``NAME=`` in a file of variables means that the variable is not set."""
    (problem,) = problems_of(WebSettings, WEB | {name: blank})

    assert problem.startswith(f"{name}: is not set")
    assert load(WebSettings, WEB | {"PORT": blank}).port == 8000


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("REDIS_URL", "unix:///run/redis.sock", "http://redis:6379"),
        ("REDIS_URL", "rediss://redis", "redis://"),
        ("REDIS_URL", "redis+sentinel://a:1,b:2/main/0", "redis+sentinels://a:1"),
        ("REDIS_URL", "redis+cluster://a:1,b:2", "redis://host:port"),
        ("REDIS_URL", "redis://[::1]:6379/0", "redis://[::1"),
        ("KEY_PREFIX", "relay.eu-1_a", "relay:eu"),
        ("KEY_PREFIX", "x" * 64, "x" * 65),
        ("RECORD_TTL_SECONDS", "86400", "0"),
        ("EVENT_DEADLINE_SECONDS", "1", "0"),
        ("MIN_REPLICAS_ACKED", "2", "-1"),
        ("REDIS_ALLOW_UNSAFE", "1", "perhaps"),
        ("LOG_LEVEL", "debug", "TRACE"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otel.test/otlp/", "https://key@otel.test"),
    ],
)
def test_shared_limits(name: str, good: str, bad: str) -> None:
    """What web and worker share is limited in both."""
    for model, environ in ((WebSettings, WEB), (WorkerSettings, WORKER)):
        assert not problems_of(model, environ | {name: good})

        (problem,) = problems_of(model, environ | {name: bad})

        assert problem.startswith(f"{name}: must be ")


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("PORT", "65535", "65536"),
        ("PORT", "1", "0"),
        ("WEB_CONCURRENCY", "64", "0"),
        ("MAX_BACKLOG", "1", "0"),
    ],
)
def test_limits_of_web(name: str, good: str, bad: str) -> None:
    """A number of the web process that could not work is refused."""
    assert not problems_of(WebSettings, WEB | {name: good})

    (problem,) = problems_of(WebSettings, WEB | {name: bad})

    assert problem.startswith(f"{name}: must be a whole number from ")


@pytest.mark.parametrize("text", ["8", "0", "many", SECRET])
def test_web_threads_is_ignored(text: str) -> None:
    """Whatever it holds is no problem, is not shown, and is said to do nothing."""
    shown = effective(load(WebSettings, WEB | {"WEB_THREADS": text}))

    assert "ignored: it has no effect any more, unset it" == shown["WEB_THREADS"]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("CHANNEL_API_VERSION", "2026-06-01", "2026-06-01\r\nx-evil: 1"),
        ("CHANNEL_ACCESS_KEY", "k!~", "k k"),
        ("CHANNEL_ACCESS_KEY", "x" * 512, "x" * 513),
        ("CHANNEL_ACCESS_SECRET", "s", "schlüssel"),
        ("WORKER_CONCURRENCY", "1000", "1001"),
        ("CALL_DEADLINE_SECONDS", "3", "300.1"),
        ("CALL_CONNECT_TIMEOUT_SECONDS", "0.5", "0"),
        ("RATE_LIMIT_PER_SECOND", "0.5", "0"),
        ("RATE_LIMIT_PER_SECOND", "50", "nan"),
        ("RATE_LIMIT_PER_SECOND", "1e1", "inf"),
        ("RATE_LIMIT_BURST", "1", "0"),
        ("BREAKER_THRESHOLD", "1", "0"),
        ("BREAKER_COOLDOWN_SECONDS", "0.5", "0"),
        ("ON_UNKNOWN", "recreate", "Recreate"),
        ("METRICS_PORT", "9100", "0"),
    ],
)
def test_limits_of_worker(name: str, good: str, bad: str) -> None:
    """A setting of the worker that could not work is refused."""
    assert not problems_of(WorkerSettings, WORKER | {name: good})

    (problem,) = problems_of(WorkerSettings, WORKER | {name: bad})

    assert problem.startswith(f"{name}: must be ")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://api.channel.io",
        "api.channel.io/open/v4",
        "/open/v4",
        "https://",
        "https://user:pass@api.channel.io/open/v4",
        "https://api.channel.io/open/v4?x=1",
        "https://api.channel.io/open/v4#x",
        "https://api.channel.io:99999",
        "https://api.channel.io:0",
        "https://api..channel.io",
        "https://[::1",
        "https://[1.2.3]/",
        "https://api.channel.io/open v4",
        "https://api.channel.io/open\\v4",
        "https://채널.io",
    ],
)
def test_api_url_is_absolute_and_plain(url: str) -> None:
    """A base URL that could not carry a call, or that carries a secret, is refused."""
    (problem,) = problems_of(WorkerSettings, WORKER | {"CHANNEL_API_URL": url})

    assert (
        problem
        == "CHANNEL_API_URL: must be an absolute http or https URL without user, query or fragment"
    )


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://api.channel.io/open/v5/", "https://api.channel.io/open/v5"),
        ("http://127.0.0.1:8081", "http://127.0.0.1:8081"),
        ("http://[::1]:8081/", "http://[::1]:8081"),
        ("http://stand_in", "http://stand_in"),
    ],
)
def test_api_url_ends_without_a_slash(url: str, base: str) -> None:
    """Paths are appended to the base URL, so a slash at its end is dropped."""
    assert base == load(WorkerSettings, WORKER | {"CHANNEL_API_URL": url}).channel_api_url


def test_event_must_end_within_its_deduplication_window() -> None:
    """An event that outlived its window could be accepted, and called, again."""
    short = WEB | {"RECORD_TTL_SECONDS": "3600"}

    (problem,) = problems_of(WebSettings, short | {"EVENT_DEADLINE_SECONDS": "3601"})

    assert problem.startswith("EVENT_DEADLINE_SECONDS: 3601 is longer than RECORD_TTL_SECONDS")
    assert load(WebSettings, short).event_deadline_seconds == 3600
    assert load(WebSettings, WEB).event_deadline_seconds == 86_400


def test_connecting_must_fit_in_the_call() -> None:
    """A connect timeout above the deadline of the whole call can only be a mistake."""
    short = WORKER | {"CALL_DEADLINE_SECONDS": "2"}

    (problem,) = problems_of(WorkerSettings, short | {"CALL_CONNECT_TIMEOUT_SECONDS": "3"})

    assert problem.startswith("CALL_CONNECT_TIMEOUT_SECONDS: 3 is longer than")
    assert load(WorkerSettings, short).call_connect_timeout_seconds == 2
    assert load(WorkerSettings, WORKER).call_connect_timeout_seconds == 3


def test_unsafe_combination_is_told_beside_other_problems() -> None:
    """A wrong variable does not hide an unsafe combination of others."""
    unsafe = {"RECORD_TTL_SECONDS": "3600", "EVENT_DEADLINE_SECONDS": "7200"}

    problems = problems_of(WebSettings, WEB | unsafe | {"PORT": "x"})

    assert ["EVENT_DEADLINE_SECONDS", "PORT"] == [line.partition(":")[0] for line in problems]


def test_web_never_reads_channel_keys() -> None:
    """The web process does not hold Channel.io's keys even where they are in its environment."""
    web = load(WebSettings, WEB | WORKER)

    assert not {"channel_access_key", "channel_access_secret"} & set(WebSettings.model_fields)
    assert not hasattr(web, "channel_access_key")


def test_effective_is_ready_for_a_log_line() -> None:
    """All settings can be logged at start as JSON, names of callers included, secrets masked."""
    shown = json.dumps(effective(load(WebSettings, WEB | {"READ_TOKENS": f"crm:{SECRET}-2,b:x"})))

    assert SECRET not in shown
    assert '"REDIS_URL": "**********"' in shown
    assert '"READ_TOKENS": "crm:**********,b:**********"' in shown


@pytest.mark.parametrize(("model", "environ"), [(WebSettings, WEB), (WorkerSettings, WORKER)])
def test_settings_never_show_a_secret(model: type[Settings], environ: Mapping[str, str]) -> None:
    """Settings may end up in a log or a traceback by accident; secrets do not."""
    settings = load(model, environ)

    for shown in (repr(settings), str(settings), repr(settings.model_dump()), str(dict(settings))):
        assert SECRET not in shown


@pytest.mark.parametrize("name", sorted(SECRETS))
@pytest.mark.parametrize("wrong", [" {} {} ", "{}\n{}", "\u00e9{}", "x:{}:\u00e9", "http://{} {}"])
def test_a_refused_secret_is_not_told(name: str, wrong: str) -> None:
    """Why a secret is refused is told without a part of it."""
    model = WebSettings if name.lower() in WebSettings.model_fields else WorkerSettings
    environ = (WEB | WORKER) | {name: wrong.format(SECRET, SECRET)}

    with pytest.raises(SettingsInvalid) as refused:
        load(model, environ)

    assert SECRET not in repr(refused.value) + str(refused.value)
    assert refused.value.__cause__ is refused.value.__context__ is None


def test_load_or_exit_prints_one_line_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    """An entry point with bad settings ends with code 2 and says why on stderr."""
    with pytest.raises(SystemExit) as ended:
        load_or_exit(WorkerSettings, WORKER | {"RATE_LIMIT_BURST": "0", "ON_UNKNOWN": "guess"})

    assert ended.value.code == 2
    assert (
        "RATE_LIMIT_BURST: must be a whole number from 1 to 1000000\n"
        "ON_UNKNOWN: must be hold or recreate\n"
    ) == capsys.readouterr().err


# the first text on a fresh checkout takes seconds: a table of all characters is made for it
patient = hypothesis(suppress_health_check=[HealthCheck.too_slow])

NAMES = sorted(
    {field.upper() for model in (WebSettings, WorkerSettings) for field in model.model_fields}
)
TEXTS = st.one_of(
    st.text(),
    st.just("\ud800"),
    st.one_of(st.integers(), st.floats()).map(str),
    st.text("redishtpunx+:/@?#[].,-%01 \t\n").map(lambda rest: f"redis://{rest}"),
    st.text("redishtpunx+:/@?#[].,-%01 \t\n").map(lambda rest: f"http://{rest}"),
    st.text("whsec_ab=:,. é{}"),
)


@patient
@given(environ=st.dictionaries(st.sampled_from(NAMES), TEXTS), is_complete=st.booleans())
def test_any_environment_gives_settings_or_problems(
    environ: dict[str, str], *, is_complete: bool
) -> None:
    """Whatever is in the environment, start-up ends in settings or in lines that tell why not."""
    base = WEB | WORKER if is_complete else {}

    for model in (WebSettings, WorkerSettings):
        for problem in problems_of(model, base | environ):
            assert len(problem.splitlines()) == 1
            assert problem.partition(":")[0] in NAMES


@patient
@given(path=st.text(min_size=1).map(lambda text: f"/nowhere/{text}"))
def test_any_path_gives_a_problem_of_one_line(path: str) -> None:
    """A file's name may hold anything, and stays on its line."""
    (problem,) = problems_of(WebSettings, WEB | {"REDIS_URL": "", "REDIS_URL_FILE": path})

    assert problem.startswith("REDIS_URL_FILE: cannot read ")
    assert len(problem.splitlines()) == 1


def test_spool_dir_is_a_path() -> None:
    """``SPOOL_DIR`` is taken as it stands."""
    assert (
        Path("/var/spool/relay")
        == load(WorkerSettings, WORKER | {"SPOOL_DIR": "/var/spool/relay"}).spool_dir
    )
