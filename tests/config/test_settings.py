"""Tests of the settings: values, refusals, and secrets that stay secret."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from config.bind import BIND_SENTENCE
from config.environment import SECRETS
from config.settings import (
    TOKENS_SENTENCE,
    Settings,
    SettingsInvalid,
    WebSettings,
    WorkerSettings,
    effective,
    ignored_variables,
    load,
    load_or_exit,
)
from tests.config.environments import SECRET, WEB, WORKER

NUMBERS: dict[type[Settings], list[str]] = {
    WebSettings: [
        *("PORT", "WEB_CONCURRENCY", "MAX_BACKLOG", "RECORD_TTL_SECONDS"),
        *("EVENT_DEADLINE_SECONDS", "MIN_REPLICAS_ACKED"),
    ],
    WorkerSettings: [
        *("METRICS_PORT", "WORKER_CONCURRENCY", "CALL_DEADLINE_SECONDS", "RATE_LIMIT_BURST"),
        *("CALL_CONNECT_TIMEOUT_SECONDS", "RATE_LIMIT_PER_SECOND", "BREAKER_THRESHOLD"),
        *("BREAKER_COOLDOWN_SECONDS", "RECORD_TTL_SECONDS", "EVENT_DEADLINE_SECONDS"),
        "MIN_REPLICAS_ACKED",
    ],
}


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
        "OTEL_SDK_DISABLED": False,
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": None,
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": None,
        "PORT": 8000,
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


def test_all_problems_are_reported_at_once() -> None:
    """One start reports all problems, one line for each variable."""
    environ = {"PORT": "http", "MAX_BACKLOG": "0", "LOG_LEVEL": "loud", "SUBMIT_TOKENS": "secret"}

    problems = problems_of(WebSettings, environ)

    assert [
        (
            "REDIS_URL: is not set, and must be a URL that starts with redis://, rediss://, "
            "unix://, redis+sentinel:// or redis+cluster://"
        ),
        "LOG_LEVEL: is 'loud', and must be DEBUG, INFO, WARNING, ERROR or CRITICAL",
        "PORT: is 'http', and must be a whole number from 1 to 65535",
        "MAX_BACKLOG: is '0', and must be a whole number from 1 to 100000000",
        "SUBMIT_TOKENS: entry 1 must be name:token",
        f"READ_TOKENS: is not set, and must be {TOKENS_SENTENCE}",
    ] == problems


@pytest.mark.parametrize("name", sorted(WEB | WORKER))
@pytest.mark.parametrize("blank", ["", "  ", "\t", "\n", "\r\n", "\ufeff", "\u00a0"])
def test_blank_of_a_required_setting_is_unset(name: str, blank: str) -> None:
    """``NAME=`` in a file of variables means that the variable is not set."""
    model, environ = (WebSettings, WEB) if name in WEB else (WorkerSettings, WORKER)

    (problem,) = problems_of(model, environ | {name: blank})

    assert problem.startswith(f"{name}: is not set")


@pytest.mark.parametrize(("model", "environ"), [(WebSettings, WEB), (WorkerSettings, WORKER)])
@pytest.mark.parametrize("blank", [" ", "\t\n"])
def test_blank_of_any_other_setting_is_its_default(
    model: type[Settings], environ: dict[str, str], blank: str
) -> None:
    """All that have a default are unset by blanks."""
    blanks = {name.upper(): blank for name in model.model_fields} | environ

    assert effective(load(model, environ)) == effective(load(model, blanks))


@pytest.mark.parametrize("around", ["{}\n", " {}\t", "\ufeff{}", "{}\r\n"])
def test_space_around_a_value_is_no_part_of_it(around: str) -> None:
    """A secret that ``echo`` wrote ends with a line break, and an editor begins it with a mark."""
    loaded = load(WorkerSettings, {name: around.format(text) for name, text in WORKER.items()})

    assert load(WorkerSettings, WORKER) == loaded


QUOTED = [
    '"{}"',
    "'{}'",
    '"{}',
    "{}'",
    "`{}`",
    "\u201c{}\u201d",
    "\u2018{}",
    "\u00ab{}\u00bb",
    '" {} "',
]


@pytest.mark.parametrize(
    "name",
    sorted(field.upper() for field in {*WebSettings.model_fields, *WorkerSettings.model_fields}),
)
def test_quotes_around_a_value_are_refused(name: str, tmp_path: Path) -> None:
    """Of each setting, at one end too, in a file as well; the message quotes no secret."""
    model, environ = (
        (WebSettings, WEB) if name.lower() in WebSettings.model_fields else (WorkerSettings, WORKER)
    )
    complaint = f"{name}: begins or ends with a quotation mark, write it without"
    good = environ.get(name, "1")

    for form in QUOTED:
        assert [complaint] == problems_of(model, environ | {name: form.format(good)})
    if name in SECRETS:
        (tmp_path / "secret").write_text(f'"{good}"\n')
        assert [complaint] == problems_of(
            model, environ | {name: "", f"{name}_FILE": str(tmp_path / "secret")}
        )


@pytest.mark.parametrize(
    "link", ["tcp://10.0.0.1:9100", "udp://[fd00::1]:53", "sctp://a:1", "TCP://a:1"]
)
def test_service_link_in_a_number_is_passed_over(link: str) -> None:
    """Kubernetes sets ``METRICS_PORT`` for a Service named ``metrics``; a warning names it."""
    for model, environ in ((WebSettings, WEB), (WorkerSettings, WORKER)):
        linked = environ | dict.fromkeys(NUMBERS[model], link)

        assert effective(load(model, environ)) == effective(load(model, linked))
        ignored = ignored_variables(model, linked)
        assert {*NUMBERS[model]} == ignored.keys()
        assert all("service link of Kubernetes" in reason for reason in ignored.values())


def test_service_link_where_a_text_belongs_is_refused() -> None:
    """A link is no address and no level; the default might be wrong, so it is refused."""
    for name in ("BIND", "LOG_LEVEL", "REDIS_URL", "KEY_PREFIX"):
        (problem,) = problems_of(WebSettings, WEB | {name: "tcp://10.0.0.1:9100"})

        assert problem.startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("RECORD_TTL_SECOND", "RECORD_TTL_SECONDS"),
        ("RECORD_TTL", "RECORD_TTL_SECONDS"),
        ("CALL_DEADLINE_MS", "CALL_DEADLINE_SECONDS"),
        ("RATE_LIMIT_PER_SEC", "RATE_LIMIT_PER_SECOND"),
        ("MAX_BACKLOGS", "MAX_BACKLOG"),
        ("REDIS_URI", "REDIS_URL"),
        ("redis_url", "REDIS_URL"),
        ("SUBMIT_TOKEN", "SUBMIT_TOKENS"),
        ("CHANNEL_ACCES_KEY", "CHANNEL_ACCESS_KEY"),
        ("CHANNEL_ACCESS_KEYFILE", "CHANNEL_ACCESS_KEY_FILE"),
        ("READ_TOKENS_FILES", "READ_TOKENS_FILE"),
        ("METRIC_PORT", "METRICS_PORT"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("KEY-PREFIX", "KEY_PREFIX"),
    ],
)
def test_name_like_a_settings_is_warned_about(name: str, meant: str) -> None:
    """A misspelt setting has no effect; its value is not shown, since it may be a secret."""
    for model, environ in ((WebSettings, WEB), (WorkerSettings, WORKER)):
        ignored = ignored_variables(model, environ | {name: SECRET})

        assert {name: f"no setting has this name: is {meant} meant?"} == ignored


USUAL = """
    PATH HOME HOSTNAME PWD OLDPWD SHLVL SHELL TERM USER LOGNAME LANG LC_ALL TZ TMPDIR EDITOR MAIL
    DISPLAY SSH_AUTH_SOCK SSH_CLIENT SSH_CONNECTION SSH_TTY XDG_RUNTIME_DIR PS1 _ HOST PORTS EXPORT
    PYTHONPATH PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE PYTHONUTF8 PYTHON_VERSION PYTHONWARNINGS
    VIRTUAL_ENV PIP_INDEX_URL GPG_KEY GUNICORN_CMD_ARGS SPOOL FLASK_ENV FLASK_APP DATABASE_URL
    HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy no_proxy SSL_CERT_FILE SSL_CERT_DIR
    REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NIX_SSL_CERT_FILE FTP_PROXY
    PROMETHEUS_MULTIPROC_DIR SENTRY_DSN SENTRY_RELEASE LISTEN_FDS
    KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT KUBERNETES_PORT KUBERNETES_PORT_443_TCP
    KUBERNETES_PORT_443_TCP_PORT KUBERNETES_SERVICE_PORT_HTTPS POD_NAME POD_IP NODE_NAME
    REDIS_HOST REDIS_PORT REDIS_PASSWORD REDIS_DB REDIS_TLS_URL REDISCLOUD_URL REDIS_SERVICE_HOST
    REDIS_SERVICE_PORT REDIS_PORT_6379_TCP REDIS_PORT_6379_TCP_ADDR METRICS_SERVICE_HOST
    METRICS_SERVICE_PORT METRICS_PORT_9100_TCP METRICS_PORT_9100_TCP_PORT METRICS_PORT_9100_TCP_ADDR
    METRICS_PORT_9100_TCP_PROTO DYNO AWS_REGION AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
    AWS_SESSION_TOKEN AWS_WEB_IDENTITY_TOKEN_FILE GOOGLE_CLOUD_PROJECT AZURE_CLIENT_ID K_SERVICE
    ECS_CONTAINER_METADATA_URI FLY_APP_NAME RENDER_SERVICE_ID RAILWAY_ENVIRONMENT INVOCATION_ID
    JOURNAL_STREAM NOTIFY_SOCKET CI GITHUB_TOKEN GITHUB_WORKSPACE NODE_ENV CELERY_BROKER_URL
    OTEL_EXPORTER_OTLP_LOGS_ENDPOINT OTEL_EXPORTER_OTLP_METRICS_ENDPOINT OTEL_LOGS_EXPORTER
    OTEL_METRICS_EXPORTER OTEL_SERVICE_NAME OTEL_EXPORTER_OTLP_HEADERS OTEL_PROPAGATORS
    MALLOC_ARENA_MAX LD_LIBRARY_PATH LD_PRELOAD DEBIAN_FRONTEND TIMEOUT WORKERS THREADS VERSION
    TOKEN
"""


def test_usual_variables_are_not_warned_about() -> None:
    """Of systems, shells, platforms and other programs; and no blank one."""
    usual = dict.fromkeys(USUAL.split(), "1") | {
        "METRIC_PORT": "tcp://10.0.0.1:80",
        "REDIS_URI": " ",
    }

    assert {} == ignored_variables(WebSettings, WEB | WORKER | usual)
    assert {} == ignored_variables(WorkerSettings, WEB | WORKER | usual)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("KEY_PREFIX", "relay.eu-1_a", "relay:eu"),
        ("KEY_PREFIX", "x" * 64, "x" * 65),
        ("RECORD_TTL_SECONDS", "86400", "0"),
        ("EVENT_DEADLINE_SECONDS", "1", "0"),
        ("MIN_REPLICAS_ACKED", "2", "-1"),
        ("REDIS_ALLOW_UNSAFE", "1", "perhaps"),
        ("LOG_LEVEL", "debug", "TRACE"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otel.test/otlp/", "https://key@otel.test"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a:1/v1/traces", "a:1"),
        ("BIND", "127.0.0.1", "127.0.0.1:8000"),
    ],
)
def test_shared_limits(name: str, good: str, bad: str) -> None:
    """Web and worker check the same limits of shared settings."""
    for model, environ in ((WebSettings, WEB), (WorkerSettings, WORKER)):
        assert not problems_of(model, environ | {name: good})

        (problem,) = problems_of(model, environ | {name: bad})

        given = "" if name in SECRETS or "@" in bad else f"is '{bad}', and "
        assert problem.startswith(f"{name}: {given}must be ")


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

    assert problem.startswith(f"{name}: is '{bad}', and must be a whole number from ")


@pytest.mark.parametrize("text", ["8", "0", "many", '"8"', SECRET])
def test_web_threads_is_ignored(text: str) -> None:
    """Any value is accepted, and a warning reports that it has no effect."""
    environ = WEB | {"WEB_THREADS": text}

    assert load(WebSettings, WEB) == load(WebSettings, environ)
    assert {"WEB_THREADS": "it has no effect any more: unset it"} == ignored_variables(
        WebSettings, environ
    )


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

    given = "" if name in SECRETS else f"is {bad!a}, and "
    assert problem.startswith(f"{name}: {given}must be ")


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

    given = "" if "@" in url or "?" in url else f"is {url!a}, and "
    sentence = "must be an absolute http or https URL without user, query or fragment"
    assert f"CHANNEL_API_URL: {given}{sentence}" == problem


COLLECTOR = "http://collector:4318"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, None),
        ({"ENDPOINT": f"{COLLECTOR}/"}, f"{COLLECTOR}/v1/traces"),
        ({"TRACES_ENDPOINT": f"{COLLECTOR}/mine"}, f"{COLLECTOR}/mine"),
        ({"ENDPOINT": "http://a", "TRACES_ENDPOINT": COLLECTOR}, COLLECTOR),
        ({"ENDPOINT": COLLECTOR, "SDK_DISABLED": "false"}, f"{COLLECTOR}/v1/traces"),
        ({"ENDPOINT": COLLECTOR, "SDK_DISABLED": "1"}, f"{COLLECTOR}/v1/traces"),
        ({"ENDPOINT": COLLECTOR, "SDK_DISABLED": "TRUE"}, None),
        ({"TRACES_ENDPOINT": "collector:4317", "SDK_DISABLED": " true "}, None),
        ({"ENDPOINT": COLLECTOR, "TRACES_EXPORTER": "none"}, None),
        ({"ENDPOINT": "collector:4317", "TRACES_EXPORTER": "None"}, None),
        ({"ENDPOINT": COLLECTOR, "TRACES_EXPORTER": "console"}, None),
        ({"ENDPOINT": COLLECTOR, "TRACES_EXPORTER": "console, OTLP"}, f"{COLLECTOR}/v1/traces"),
        ({"ENDPOINT": COLLECTOR, "TRACES_EXPORTER": " "}, f"{COLLECTOR}/v1/traces"),
    ],
)
def test_opentelemetrys_own_switches_hold(given: dict[str, str], url: str | None) -> None:
    """An invalid endpoint is no problem while OpenTelemetry's switches turn spans off."""
    prefix = {"SDK_DISABLED": "OTEL_", "TRACES_EXPORTER": "OTEL_"}
    names = {
        f"{prefix.get(name, 'OTEL_EXPORTER_OTLP_')}{name}": text for name, text in given.items()
    }

    for model, environ in ((WebSettings, WEB), (WorkerSettings, WORKER)):
        assert url == load(model, environ | names).traces_url


@pytest.mark.parametrize(
    "url", ["https://api.channel.io/open", "https://api.channel.io/open/", "http://stand-in/Open//"]
)
def test_api_without_a_version_in_its_address_needs_one(url: str) -> None:
    """Channel.io's default version can be moved by an administrator of the channel."""
    environ = WORKER | {"CHANNEL_API_URL": url}

    (problem,) = problems_of(WorkerSettings, environ)

    assert problem.startswith("CHANNEL_API_VERSION: is not set, and CHANNEL_API_URL http")
    assert not problems_of(WorkerSettings, environ | {"CHANNEL_API_VERSION": "2026-06-01"})


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "0.0.0.0"),  # noqa: S104
        ("::1", "[::1]"),
        ("[::1]", "[::1]"),
        ("::", "[::]"),
        ("[fd00:0::A]", "[fd00::a]"),
        ("localhost", "127.0.0.1"),
    ],
)
def test_bind_is_an_address(text: str, bind: str) -> None:
    """Of web and of the worker's metrics; a name is looked up."""
    for model, environ in ((WebSettings, WEB), (WorkerSettings, WORKER)):
        assert bind == load(model, environ | {"BIND": text}).bind


@pytest.mark.parametrize(
    "text",
    [
        *(
            "0.0.0.0:8000",
            "[::]:8000",
            "127.0.0.1,::1",
            "127.0.0.1 ::1",
            "256.0.0.1",
            "1.2.3",
            "8000",
        ),
        *(
            "fe80::1%eth0",
            "[::1",
            "::1]",
            "[]",
            "*",
            "http://0.0.0.0",
            "unix:/run/x",
            "/run/x",
            "a..b",
        ),
        *("127.0.0.1/8", "채널", "\ud800"),
    ],
)
def test_bind_that_is_no_address_is_refused(text: str) -> None:
    """The message quotes the value, and names the valid ones."""
    (problem,) = problems_of(WebSettings, WEB | {"BIND": text})

    assert problem == f"BIND: is {text!a}, and must be {BIND_SENTENCE}"


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


def test_an_unsafe_combination_is_reported_with_other_problems() -> None:
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
    shown = json.dumps(
        effective(load(WebSettings, WEB | {"READ_TOKENS": f"crm:{SECRET}-2,b:{SECRET}-3"}))
    )

    assert SECRET not in shown
    assert '"REDIS_URL": "redis://redis.internal:6379/0"' in shown
    assert '"READ_TOKENS": "crm:**********,b:**********"' in shown


@pytest.mark.parametrize(("model", "environ"), [(WebSettings, WEB), (WorkerSettings, WORKER)])
def test_settings_never_show_a_secret(model: type[Settings], environ: Mapping[str, str]) -> None:
    """Settings may end up in a log or a traceback by accident; secrets do not."""
    settings = load(model, environ)

    for shown in (repr(settings), str(settings), repr(settings.model_dump()), str(dict(settings))):
        assert SECRET not in shown


@pytest.mark.parametrize("name", sorted(SECRETS - {"HTTP_PROXY"}))  # no call goes through it
@pytest.mark.parametrize("wrong", [" {} {} ", "{}\n{}", "\u00e9{}", "x:{}:\u00e9", "http://{} {}"])
def test_a_refused_secret_is_not_quoted(name: str, wrong: str) -> None:
    """The message about a refused secret quotes no part of it."""
    model = WebSettings if name.lower() in WebSettings.model_fields else WorkerSettings
    environ = (WEB | WORKER) | {name: wrong.format(SECRET, SECRET)}

    with pytest.raises(SettingsInvalid) as refused:
        load(model, environ)

    assert SECRET not in repr(refused.value) + str(refused.value)
    assert refused.value.__cause__ is refused.value.__context__ is None


@pytest.mark.parametrize("text", [SECRET, f"x{SECRET}", SECRET[3:], f"orders:{SECRET}"])
def test_a_secret_in_the_wrong_variable_is_not_quoted(text: str) -> None:
    """Values are quoted, but for what another variable shows to be a secret."""
    wrong = dict.fromkeys((*NUMBERS[WebSettings], "LOG_LEVEL", "BIND"), text)

    problems = problems_of(WebSettings, WEB | wrong)

    assert len(wrong) == len(problems)
    assert [] == [problem for problem in problems if "fish" in problem]


def test_load_or_exit_prints_one_line_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    """An entry point with bad settings ends with code 2 and gives the reason on stderr."""
    with pytest.raises(SystemExit) as ended:
        load_or_exit(
            WorkerSettings,
            WORKER | {"RATE_LIMIT_BURST": "0", "ON_UNKNOWN": "guess", "KEY_PREFX": SECRET},
        )

    assert ended.value.code == 2
    assert (
        "ON_UNKNOWN: is 'guess', and must be hold or recreate\n"
        "RATE_LIMIT_BURST: is '0', and must be a whole number from 1 to 1000000\n"
        "KEY_PREFX: no setting has this name: is KEY_PREFIX meant?\n"
    ) == capsys.readouterr().err


# the first text on a fresh checkout takes seconds: a table of all characters is made for it
patient = hypothesis(suppress_health_check=[HealthCheck.too_slow])

# Without BIND: a text that is a host's name would be looked up.
NAMES = sorted(
    {field.upper() for model in (WebSettings, WorkerSettings) for field in model.model_fields}
    - {"BIND"}
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
    """Start-up ends in settings or in messages, for any environment."""
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
