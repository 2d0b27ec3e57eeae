"""The settings: each variable's name, default and limits, and how they are read.

``load`` reports every problem at once and quotes no value, since any value may be a secret.
"""

import os
import sys
from collections.abc import Mapping
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

from config.cores import usable_cores
from config.environment import read
from config.redis_url import SCHEMES_SENTENCE, RedisUrl
from config.values import (
    AnyCase,
    ApiUrl,
    HeaderSecret,
    HeaderText,
    Ignored,
    RedisUrlSetting,
    Tokens,
    WebhookSecrets,
    name_of_two,
    refuse,
)

EXIT_SETTINGS_INVALID = 2
# Only looked for here; app/tracing.py imports it.
EXPORTER = "opentelemetry.exporter.otlp.proto.http"
TOKENS_SENTENCE = "name:token,name:token with a name for each caller"
PLAIN_URL_SENTENCE = "an absolute http or https URL without user, query or fragment"
MASK = "**********"  # as pydantic shows a secret
HEADER_SENTENCE = "1 to 512 printable ASCII characters without spaces"


class SettingsInvalid(Exception):
    """The settings cannot be used; ``problems`` has one line for each, and no values."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _whole(default: int, low: int, high: int) -> Any:
    return Field(default, ge=low, le=high, description=f"a whole number from {low} to {high}")


def _number(default: float, low: float, high: float) -> Any:
    sentence = f"a number from {low} to {high}"
    return Field(default, ge=low, le=high, description=sentence)


class Settings(BaseModel):
    """Settings that web and worker both read, and must agree on."""

    model_config = ConfigDict(frozen=True, validate_default=True, hide_input_in_errors=True)

    redis_url: RedisUrlSetting = Field(description=SCHEMES_SENTENCE)
    redis_allow_unsafe: bool = Field(default=False, description="1 or 0")
    key_prefix: str = Field(
        "relay", pattern=r"^[A-Za-z0-9._-]{1,64}$", description="1 to 64 of A-Z a-z 0-9 . _ -"
    )
    record_ttl_seconds: int = _whole(2_592_000, 1, 315_360_000)
    event_deadline_seconds: int = Field(
        default_factory=lambda others: min(86_400, others.get("record_ttl_seconds", 86_400)),
        ge=1,
        le=315_360_000,
        description="a whole number from 1 to 315360000",
    )
    min_replicas_acked: int = _whole(0, 0, 100)
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], AnyCase] = Field(
        "INFO", description="DEBUG, INFO, WARNING, ERROR or CRITICAL"
    )

    @field_validator("event_deadline_seconds")
    @classmethod
    def _ends_within_the_window(cls, seconds: int, others: ValidationInfo) -> int:
        window = others.data.get("record_ttl_seconds", seconds)
        if seconds > window:
            raise refuse(
                f"{seconds} is longer than RECORD_TTL_SECONDS, {window}: "
                "raise that, or lower this, so that no event outlives its deduplication"
            )
        return seconds


class OperatorSettings(Settings):
    """Settings of the operator's command line: where Redis is, and nothing secret besides."""


class ProcessSettings(Settings):
    """Settings that web and worker read besides, and the operator's command line does not."""

    otel_exporter_otlp_endpoint: ApiUrl | None = Field(None, description=PLAIN_URL_SENTENCE)

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _can_be_exported_to(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and not _is_installed(EXPORTER):
            raise refuse(
                "needs what is not installed: "
                "pip install --require-hashes -r requirements-tracing.txt"
            )
        return endpoint


class WebSettings(ProcessSettings):
    """Settings of the web process; never Channel.io's keys."""

    port: int = _whole(8000, 1, 65_535)
    web_concurrency: int = Field(
        default_factory=usable_cores, ge=1, le=64, description="a whole number from 1 to 64"
    )
    web_threads: Ignored = None
    max_backlog: int = _whole(100_000, 1, 100_000_000)
    submit_tokens: Tokens = Field(description=TOKENS_SENTENCE)
    read_tokens: Tokens = Field(description=TOKENS_SENTENCE)
    webhook_secrets: WebhookSecrets = Field((), description="whsec_…,whsec_…")

    @field_validator("read_tokens")
    @classmethod
    def _names_one_caller_a_token(cls, tokens: Any, others: ValidationInfo) -> Any:
        if name := name_of_two(others.data.get("submit_tokens", ()) + tokens):
            raise refuse(
                f"the token of {name!r} belongs to another name in SUBMIT_TOKENS: "
                "use one name for both, or make a new token"
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
    worker_concurrency: int = _whole(16, 1, 1000)
    call_deadline_seconds: float = _number(15, 0.1, 300)
    call_connect_timeout_seconds: float = Field(
        default_factory=lambda others: min(3, others.get("call_deadline_seconds", 3)),
        ge=0.01,
        le=300,
        description="a number from 0.01 to 300",
    )
    rate_limit_per_second: float = _number(10, 0.001, 10_000)
    rate_limit_burst: int = _whole(100, 1, 1_000_000)
    breaker_threshold: int = _whole(5, 1, 1000)
    breaker_cooldown_seconds: float = _number(5, 0.01, 60)
    on_unknown: Literal["hold", "recreate"] = Field("hold", description="hold or recreate")
    spool_dir: Path = Field(Path("spool"), description="a directory")
    metrics_port: int | None = Field(
        None, ge=1, le=65_535, description="a whole number from 1 to 65535"
    )

    @field_validator("call_connect_timeout_seconds")
    @classmethod
    def _fits_in_the_call(cls, seconds: float, others: ValidationInfo) -> float:
        deadline = others.data.get("call_deadline_seconds", seconds)
        if seconds > deadline:
            raise refuse(
                f"{seconds:g} is longer than CALL_DEADLINE_SECONDS, {deadline:g}, which bounds "
                "the whole call: raise that, or lower this"
            )
        return seconds


AnySettings = TypeVar("AnySettings", bound=Settings)


def load(model: type[AnySettings], environ: Mapping[str, str]) -> AnySettings:
    """Read ``model`` from the environment, or raise ``SettingsInvalid`` with all problems."""
    names = [field.upper() for field in model.model_fields]
    texts, problems = read(names, environ)
    try:
        settings = model.model_validate({name.lower(): text for name, text in texts.items()})
    except ValidationError as error:
        for wrong in error.errors(include_url=False, include_input=False):
            if wrong["type"] == "default_factory_not_called":
                continue  # the default hangs on another variable, which has a problem of its own
            field = str(wrong["loc"][0])
            problems.setdefault(field.upper(), _problem(model, field, wrong))
    if problems:  # outside of the except, so that pydantic's error is not shown with it
        raise SettingsInvalid(list(problems.values()))
    return settings


def load_or_exit(model: type[AnySettings], environ: Mapping[str, str] = os.environ) -> AnySettings:
    """Do as ``load``; on problems print them, one a line, and end the process with code 2."""
    try:
        return load(model, environ)
    except SettingsInvalid as invalid:
        print(*invalid.problems, sep="\n", file=sys.stderr)  # noqa: T201 - no log yet
    sys.exit(EXIT_SETTINGS_INVALID)


def effective(settings: Settings) -> dict[str, str | int | float | None]:
    """Return each variable's name and its value as used, with the secrets masked."""
    return {field.upper(): _shown(value) for field, value in settings}


def preview(
    model: type[Settings], environ: Mapping[str, str]
) -> tuple[dict[str, str | int | float | None], list[str]]:
    """Return what ``effective`` tells, as far as the environment holds it, and all problems."""
    try:
        return effective(load(model, environ)), []
    except SettingsInvalid as invalid:
        problems = invalid.problems
    texts, _ = read([name.upper() for name in model.model_fields], environ)
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        with suppress(ValidationError, LookupError):
            values[name] = _value(field, texts.get(name.upper()), values)
    return {name.upper(): _shown(value) for name, value in values.items()}, problems


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
    if isinstance(value, RedisUrl):
        return MASK
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return value if value is None or isinstance(value, int | float) else str(value)


def _problem(model: type[Settings], field: str, wrong: ErrorDetails) -> str:
    if wrong["type"] == "sentence":
        return f"{field.upper()}: {wrong['msg']}"
    complaint = "is not set, and must be" if wrong["type"] == "missing" else "must be"
    return f"{field.upper()}: {complaint} {model.model_fields[field].description}"
