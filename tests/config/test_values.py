"""Tokens and webhook secrets: what a list may hold."""

import pytest
from pydantic import SecretStr

from config.settings import SettingsInvalid, WebSettings, load
from config.values import Token
from tests.config.environments import WEB


def submit_tokens(text: str) -> tuple[Token, ...]:
    """Return what ``SUBMIT_TOKENS`` is read as."""
    return load(WebSettings, WEB | {"SUBMIT_TOKENS": text}).submit_tokens


def problem_with(name: str, text: str) -> str:
    """Return the one problem that the web process has with ``name``."""
    with pytest.raises(SettingsInvalid) as refused:
        load(WebSettings, WEB | {name: text})
    (problem,) = refused.value.problems
    return problem


def test_tokens_are_named_and_several() -> None:
    """Each caller has a name; a caller has two tokens while they are rotated."""
    assert (
        Token("orders", SecretStr("one")),
        Token("orders", SecretStr("two")),
        Token("crm.eu-1", SecretStr("a:b=c")),
    ) == submit_tokens("orders:one,orders:two, crm.eu-1:a:b=c,")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (",", "holds no token"),
        ("orders", "entry 1 must be name:token"),
        (":one", "entry 1 must be name:token"),
        ("a:1,b c:2", "the name of entry 2 must be 1 to 64 of A-Z a-z 0-9 _ . -"),
        ("x" * 65 + ":1", "the name of entry 1 must be 1 to 64 of A-Z a-z 0-9 _ . -"),
        ("a:", "entry 1 has a name and no token"),
        ("a:o ne", "the token of entry 1 must be 1 to 512 printable ASCII characters, no spaces"),
        ("a:ä", "the token of entry 1 must be 1 to 512 printable ASCII characters, no spaces"),
        (
            "a:" + "x" * 513,
            "the token of entry 1 must be 1 to 512 printable ASCII characters, no s",
        ),
        ("a:1,a:1", "the same name:token is given twice, drop one"),
        ("a:1,b:1", "the token of 'b' belongs to another name too, make a new one"),
        ("a,b", "entry 1 must be name:token; entry 2 must be name:token"),
    ],
)
def test_token_list_is_refused_with_the_entry(text: str, complaint: str) -> None:
    """The entry at fault is named by its place, since its text may be the secret."""
    assert problem_with("SUBMIT_TOKENS", text).startswith(f"SUBMIT_TOKENS: {complaint}")


def test_one_token_may_have_both_rights_under_one_name() -> None:
    """A caller that submits and reads uses one token; under two names nobody could tell who."""
    both = WEB | {"SUBMIT_TOKENS": "crm:one", "READ_TOKENS": "crm:one"}

    assert load(WebSettings, both).submit_tokens == load(WebSettings, both).read_tokens
    with pytest.raises(SettingsInvalid, match="READ_TOKENS: the token of 'etl' belongs to another"):
        load(WebSettings, both | {"READ_TOKENS": "etl:one"})


def test_webhook_secrets_are_several() -> None:
    """Secrets of Standard Webhooks are rotated as tokens are."""
    secrets = load(WebSettings, WEB | {"WEBHOOK_SECRETS": "whsec_b25l,whsec_dHdv"}).webhook_secrets

    assert ["whsec_b25l", "whsec_dHdv"] == [secret.get_secret_value() for secret in secrets]


@pytest.mark.parametrize(
    "text", ["b25l", "whsec_", "whsec_b25", "whsec_b*25l", "whsec_é", "whsec_b25l,sec_b25l"]
)
def test_webhook_secret_is_a_key_in_base64(text: str) -> None:
    """A secret that could never verify a signature is refused at start."""
    complaint = problem_with("WEBHOOK_SECRETS", text)

    assert complaint.endswith("must be whsec_ and the key in base64")
