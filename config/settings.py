"""The settings: each variable's name, default and limits, and how they are read.

``load`` reports every problem at once, and quotes no value that is a secret or may hold one.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from config.authorities import AUTHORITIES_SENTENCE
from config.bind import BIND_SENTENCE, default_bind
from config.cores import usable_cores
from config.environment import SECRETS, read
from config.ignored import find_ignored
from config.proxy_url import PROXY_SENTENCE, ProxyUrl
from config.redis_url import SCHEMES_SENTENCE
from config.values import (
    TOKEN_SENTENCE,
    WEBHOOK_SECRET_SENTENCE,
    AnyCase,
    ApiUrl,
    Authorities,
    Bind,
    HeaderSecret,
    HeaderText,
    OnlyTrue,
    OptionalTokens,
    ProxySetting,
    RedisUrlSetting,
    Tokens,
    WebhookSecrets,
    settings_error,
    token_with_two_names,
)

EXIT_SETTINGS_INVALID = 2
# Only looked for here; app/telemetry/otlp.py imports it.
EXPORTER = "opentelemetry.exporter.otlp.proto.http"
TOKENS_SENTENCE = f"name:token,name:token with a name for each caller, each token {TOKEN_SENTENCE}"
PLAIN_URL_SENTENCE = "an absolute http or https URL without user, query or fragment"
MAX_QUOTED_CHARACTERS = 80
MIN_SECRET_CHARACTERS = 8  # of what no message may quote; shorter texts are in many a value
BOT_NAME_SENTENCE = "1 to 30 characters, none of @ # $ % : /"
HEADER_SENTENCE = "1 to 512 printable ASCII characters without spaces"


class SettingsInvalid(Exception):
    """The settings cannot be used; ``problems`` has one line for each, and no secrets."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _number(default: float | Callable[..., float] | None, low: float, high: float) -> Any:
    """Describe a number, a whole one where ``low`` is; ``default`` may compute it from others."""
    kind = "a whole number" if isinstance(low, int) else "a number"
    limits: dict[str, Any] = {"ge": low, "le": high, "description": f"{kind} from {low} to {high}"}
    if callable(default):
        return Field(default_factory=default, **limits)
    return Field(default, **limits)


class Settings(BaseModel):
    """Settings that web and worker both read, and must agree on."""

    model_config = ConfigDict(frozen=True, validate_default=True, hide_input_in_errors=True)

    redis_url: RedisUrlSetting = Field(description=SCHEMES_SENTENCE)
    redis_allow_unsafe: bool = Field(default=False, description="1 or 0")
    key_prefix: str = Field(
        "relay", pattern=r"^[A-Za-z0-9._-]{1,64}$", description="1 to 64 of A-Z a-z 0-9 . _ -"
    )
    record_ttl_seconds: int = _number(2_592_000, 1, 315_360_000)
    event_deadline_seconds: int = _number(
        lambda others: min(86_400, others.get("record_ttl_seconds", 86_400)), 1, 315_360_000
    )
    on_unknown: Literal["hold", "recreate"] = Field("hold", description="hold or recreate")
    min_replicas_acked: int = _number(0, 0, 100)
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], AnyCase] = Field(
        "INFO", description="DEBUG, INFO, WARNING, ERROR or CRITICAL"
    )

    @field_validator("event_deadline_seconds")
    @classmethod
    def _ends_within_the_window(cls, seconds: int, others: ValidationInfo) -> int:
        window = others.data.get("record_ttl_seconds", seconds)
        if seconds > window:
            raise settings_error(
                f"{seconds} is longer than RECORD_TTL_SECONDS, {window}: "
                "raise that, or lower this, so that no event outlives its deduplication"
            )
        return seconds


class OperatorSettings(Settings):
    """Settings of the operator's command line: where Redis is, and nothing secret besides."""


class ProcessSettings(Settings):
    """Settings that web and worker read besides, and the operator's command line does not.

    Those of OpenTelemetry are as
    https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ has them.
    """

    bind: Bind = Field(default_factory=default_bind, description=BIND_SENTENCE)
    bot_name: str | None = Field(None, pattern=r"^[^@#$%:/]{1,30}$", description=BOT_NAME_SENTENCE)
    otel_sdk_disabled: Annotated[bool, OnlyTrue] = Field(
        default=False, description="true, else it is false"
    )
    otel_traces_exporter: str = Field("otlp", description="otlp or none")
    otel_exporter_otlp_endpoint: ApiUrl | None = Field(None, description=PLAIN_URL_SENTENCE)
    otel_exporter_otlp_traces_endpoint: ApiUrl | None = Field(None, description=PLAIN_URL_SENTENCE)

    @property
    def traces_url(self) -> str | None:
        """Return where spans are posted to, or ``None`` where none are made."""
        endpoint = self.otel_exporter_otlp_endpoint
        return self.otel_exporter_otlp_traces_endpoint or (endpoint and f"{endpoint}/v1/traces")

    @field_validator(
        "otel_exporter_otlp_endpoint", "otel_exporter_otlp_traces_endpoint", mode="before"
    )
    @classmethod
    def _is_exported_to(cls, endpoint: str | None, others: ValidationInfo) -> str | None:
        exporters = others.data.get("otel_traces_exporter", "otlp").lower().split(",")
        if others.data.get("otel_sdk_disabled") or "otlp" not in map(str.strip, exporters):
            return None  # what injected it need not know what is installed here
        if endpoint is not None and not _is_installed(EXPORTER):
            raise settings_error(
                "needs what is not installed: pip install --require-hashes "
                "-r requirements-tracing.txt, or set OTEL_SDK_DISABLED=true"
            )
        return endpoint


class WebSettings(ProcessSettings):
    """Settings of the web process; never Channel.io's keys."""

    port: int = _number(8000, 1, 65_535)
    web_concurrency: int = _number(usable_cores, 1, 64)
    max_backlog: int = _number(100_000, 1, 100_000_000)
    submit_tokens: Tokens = Field(description=TOKENS_SENTENCE)
    read_tokens: Tokens = Field(description=TOKENS_SENTENCE)
    operate_tokens: OptionalTokens = Field((), description=TOKENS_SENTENCE)
    webhook_secrets: WebhookSecrets = Field(
        (), description=f"several with commas between them, each {WEBHOOK_SECRET_SENTENCE}"
    )

    @field_validator("read_tokens")
    @classmethod
    def _names_one_caller_a_token(cls, tokens: Any, others: ValidationInfo) -> Any:
        if name := token_with_two_names(others.data.get("submit_tokens", ()) + tokens):
            raise settings_error(
                f"the token of {name!r} belongs to another name in SUBMIT_TOKENS: "
                "use one name for both, or make a new token"
            )
        return tokens

    @field_validator("operate_tokens")
    @classmethod
    def _are_operators_alone(cls, tokens: Any, others: ValidationInfo) -> Any:
        callers = (*others.data.get("submit_tokens", ()), *others.data.get("read_tokens", ()))
        known = {token.token for token in callers}
        if shared := [token.name for token in tokens if token.token in known]:
            raise settings_error(
                f"the token of {shared[0]!r} is in SUBMIT_TOKENS or READ_TOKENS too: "
                "make a new token for the operator"
            )
        return tokens


class WorkerSettings(ProcessSettings):
    """Settings of the worker."""

    channel_api_url: ApiUrl = Field(
        "https://api.channel.io/open/v4", description=PLAIN_URL_SENTENCE
    )
    channel_api_version: HeaderText | None = Field(None, description=HEADER_SENTENCE)
    channel_access_key: HeaderSecret = Field(description=HEADER_SENTENCE)
    channel_access_secret: HeaderSecret = Field(description=HEADER_SENTENCE)
    worker_concurrency: int = _number(16, 1, 1000)
    call_deadline_seconds: float = _number(15, 0.1, 300)
    call_connect_timeout_seconds: float = _number(
        lambda others: min(3, others.get("call_deadline_seconds", 3)), 0.01, 300
    )
    rate_limit_per_second: float = _number(10, 0.001, 10_000)
    rate_limit_burst: int = _number(100, 1, 1_000_000)
    breaker_threshold: int = _number(5, 1, 1000)
    breaker_cooldown_seconds: float = _number(5, 0.01, 60)
    spool_dir: Path = Field(Path("spool"), description="a directory")
    metrics_port: int | None = _number(None, 1, 65_535)

    @field_validator("channel_api_version")
    @classmethod
    def _is_one_version(cls, version: str | None, others: ValidationInfo) -> str | None:
        url = others.data.get("channel_api_url", "")
        if version is None and url.lower().endswith("/open"):
            raise settings_error(
                f"is not set, and CHANNEL_API_URL {url} needs one, such as 2026-06-01: without it "
                "Channel.io answers in a version that can change"
            )
        return version

    no_proxy: str | None = Field(None, description="host,host")
    https_proxy: ProxySetting | None = Field(None, description=PROXY_SENTENCE)
    http_proxy: ProxySetting | None = Field(None, description=PROXY_SENTENCE)
    all_proxy: ProxySetting | None = Field(None, description=PROXY_SENTENCE)
    requests_ca_bundle: Authorities = Field((), description=AUTHORITIES_SENTENCE)
    curl_ca_bundle: Authorities = Field((), description=AUTHORITIES_SENTENCE)
    ssl_cert_file: Authorities = Field((), description=AUTHORITIES_SENTENCE)
    ssl_cert_dir: Authorities = Field((), description=AUTHORITIES_SENTENCE)

    @property
    def proxy(self) -> ProxyUrl | None:
        """The proxy for the scheme of ``channel_api_url``, NO_PROXY aside."""
        return self.https_proxy or self.http_proxy or self.all_proxy

    @property
    def authorities(self) -> tuple[Path, ...]:
        """The files and directories of trusted authorities; none means the public ones."""
        bundle = self.requests_ca_bundle or self.curl_ca_bundle
        return bundle or (*self.ssl_cert_file, *self.ssl_cert_dir)

    @field_validator("https_proxy", "http_proxy", "all_proxy", mode="before")
    @classmethod
    def _is_for_our_scheme(cls, text: Any, others: ValidationInfo) -> Any:
        """Pass over a proxy that calls do not go through: it may be of a kind that is refused."""
        own = f"{others.data.get('channel_api_url', '').partition(':')[0]}_proxy"
        is_used = others.field_name == own or (
            others.field_name == "all_proxy" and not others.data.get(own)
        )
        return text if is_used else None

    @field_validator("call_connect_timeout_seconds")
    @classmethod
    def _fits_in_the_call(cls, seconds: float, others: ValidationInfo) -> float:
        deadline = others.data.get("call_deadline_seconds", seconds)
        if seconds > deadline:
            raise settings_error(
                f"{seconds:g} is longer than CALL_DEADLINE_SECONDS, {deadline:g}, which bounds "
                "the whole call: raise that, or lower this"
            )
        return seconds


AnySettings = TypeVar("AnySettings", bound=Settings)


def load(model: type[AnySettings], environ: Mapping[str, str]) -> AnySettings:
    """Read ``model`` from the environment, or raise ``SettingsInvalid`` with all problems."""
    texts, problems = _read(model, environ)
    try:
        settings = model.model_validate({name.lower(): text for name, text in texts.items()})
    except ValidationError as error:
        secrets = read(SECRETS, environ)[0].values()
        for wrong in error.errors(include_url=False, include_input=False):
            if wrong["type"] == "default_factory_not_called":
                continue  # the default hangs on another variable, which has a problem of its own
            name = str(wrong["loc"][0]).upper()
            given = texts.get(name)
            is_quoted = given is not None and _is_quotable(name, given, secrets)
            problems.setdefault(name, _problem(model, name, given if is_quoted else None, wrong))
    if problems:  # outside of the except, so that pydantic's error is not shown with it
        raise SettingsInvalid(list(problems.values()))
    return settings


def load_or_exit(model: type[AnySettings], environ: Mapping[str, str] = os.environ) -> AnySettings:
    """Do as ``load``; on problems print them, one a line, and end the process with code 2."""
    try:
        return load(model, environ)
    except SettingsInvalid as invalid:
        ignored = [
            f"{name}: {reason}" for name, reason in ignored_variables(model, environ).items()
        ]
        print(*invalid.problems, *ignored, sep="\n", file=sys.stderr)  # noqa: T201 - no log yet
    sys.exit(EXIT_SETTINGS_INVALID)


def ignored_variables(model: type[Settings], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the name of each variable that seems to be a setting and has no effect, and why."""
    known = {field.upper() for each in (WebSettings, WorkerSettings) for field in each.model_fields}
    return find_ignored(known, _numbers(model), environ)


def effective(settings: Settings) -> dict[str, str | int | float | None]:
    """Return each variable's name and its value as used, with the secrets masked."""
    return {field.upper(): _shown(value) for field, value in settings}


def preview(
    model: type[Settings], environ: Mapping[str, str]
) -> tuple[dict[str, str | int | float | None], list[str]]:
    """Return what ``effective`` does, as far as the environment holds it, and all problems."""
    try:
        return effective(load(model, environ)), []
    except SettingsInvalid as invalid:
        problems = invalid.problems
    texts, unread = _read(model, environ)
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        with suppress(ValidationError, LookupError):
            if name.upper() not in unread:
                values[name] = _value(field, texts.get(name.upper()), values)
    return {name.upper(): _shown(value) for name, value in values.items()}, problems


def _read(
    model: type[Settings], environ: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    return read([field.upper() for field in model.model_fields], environ, _numbers(model))


def _numbers(model: type[Settings]) -> set[str]:
    kinds = (int, float, int | None)
    return {name.upper() for name, field in model.model_fields.items() if field.annotation in kinds}


def _value(field: FieldInfo, text: str | None, others: dict[str, Any]) -> Any:
    """One setting by itself. Raises LookupError where it is not set, and has no default."""
    if text is not None:
        limits = field.metadata  # without any, Annotated is an error
        kind: Any = Annotated[(field.annotation, *limits)] if limits else field.annotation
        return TypeAdapter(kind).validate_python(text)
    if field.is_required():
        raise LookupError
    return field.get_default(call_default_factory=True, validated_data=others)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even what it is a part of
        return False


def _shown(value: Any) -> str | int | float | None:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return value if value is None or isinstance(value, int | float) else str(value)


def _is_quotable(name: str, text: str, secrets: Iterable[str]) -> bool:
    """Return whether ``text`` holds no secret: not in a URL, and none from another variable."""
    parts = [part for secret in secrets for part in re.split(r"[,:/@]", secret)]
    return not (
        name in SECRETS
        or "@" in text
        or "?" in text
        or any(part in text for part in parts if len(part) >= MIN_SECRET_CHARACTERS)
        or any(text in part for part in parts if len(text) >= MIN_SECRET_CHARACTERS)
    )


def _problem(model: type[Settings], name: str, given: str | None, wrong: ErrorDetails) -> str:
    if wrong["type"] == "sentence":
        return f"{name}: {wrong['msg']}"
    complaint = "is not set, and " if wrong["type"] == "missing" else ""
    if given is not None:
        complaint = f"is {given[:MAX_QUOTED_CHARACTERS]!a}, and "
    return f"{name}: {complaint}must be {model.model_fields[name.lower()].description}"
