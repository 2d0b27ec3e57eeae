"""Tokens and webhook secrets: what a list may hold."""

import pytest
from pydantic import SecretStr

from config.settings import SettingsInvalid, WebSettings, load
from config.values import TOKEN_SENTENCE, Token
from tests.config.environments import WEB

ONE, TWO = "one-5bd1e995-c6a", "two-5bd1e995-c6a4"
KEY = "b25l" * 8


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
        Token("orders", SecretStr(ONE)),
        Token("orders", SecretStr(TWO)),
        Token("crm.eu-1", SecretStr(f"a:b={ONE}")),
    ) == submit_tokens(f"orders:{ONE},orders:{TWO}, crm.eu-1:a:b={ONE},")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (",", "holds no token"),
        ("orders", "entry 1 must be name:token"),
        (f":{ONE}", "entry 1 must be name:token"),
        (f"a:{ONE},b c:2", "the name of entry 2 must be 1 to 64 of A-Z a-z 0-9 _ . -"),
        ("x" * 65 + ":1", "the name of entry 1 must be 1 to 64 of A-Z a-z 0-9 _ . -"),
        ("a:", "entry 1 has a name and no token"),
        (f"a:{ONE} {ONE}", f"the token of entry 1 must be {TOKEN_SENTENCE}"),
        (f"a:{ONE}ä", f"the token of entry 1 must be {TOKEN_SENTENCE}"),
        (f"a:{ONE[:15]}", f"the token of entry 1 must be {TOKEN_SENTENCE}"),
        (f"b:{TWO},a:abc", f"the token of entry 2 must be {TOKEN_SENTENCE}"),
        ("a:" + "x" * 513, f"the token of entry 1 must be {TOKEN_SENTENCE}"),
        (f'b:{TWO},a:"{ONE}",b:{TWO}', f"the token of entry 2 must be {TOKEN_SENTENCE}"),
        (f"a:{ONE}',b:{TWO}", f"the token of entry 1 must be {TOKEN_SENTENCE}"),
        (f"a:{ONE},a:{ONE}", "the same name:token is given twice, drop one"),
        (f"a:{ONE},b:{ONE}", "the token of 'b' belongs to another name too, make a new one"),
        ("a,b", "entry 1 must be name:token; entry 2 must be name:token"),
    ],
)
def test_token_list_is_refused_with_the_entry(text: str, complaint: str) -> None:
    """The entry at fault is named by its place, since its text may be the secret."""
    assert problem_with("SUBMIT_TOKENS", text).startswith(f"SUBMIT_TOKENS: {complaint}")


def test_one_token_may_have_both_rights_under_one_name() -> None:
    """A caller that submits and reads uses one token; under two names it would be ambiguous."""
    both = WEB | {"SUBMIT_TOKENS": f"crm:{ONE}", "READ_TOKENS": f"crm:{ONE}"}

    assert load(WebSettings, both).submit_tokens == load(WebSettings, both).read_tokens
    with pytest.raises(SettingsInvalid, match="READ_TOKENS: the token of 'etl' belongs to another"):
        load(WebSettings, both | {"READ_TOKENS": f"etl:{ONE}"})


def test_webhook_secrets_are_several() -> None:
    """Secrets of Standard Webhooks are rotated as tokens are."""
    known = [f"whsec_{KEY}", f"whsec_{KEY}{KEY}"]

    secrets = load(WebSettings, WEB | {"WEBHOOK_SECRETS": ",".join(known)}).webhook_secrets

    assert known == [secret.get_secret_value() for secret in secrets]


@pytest.mark.parametrize(
    "text",
    [
        *(KEY, "whsec_", f"whsec_{KEY}b25", f"whsec_{KEY}b*25l", f"whsec_{KEY}é"),
        *(f"whsec_{KEY},sec_{KEY}", f"whsec_{KEY[4:]}", f'whsec_{KEY},"whsec_{KEY}",whsec_{KEY}'),
    ],
)
def test_webhook_secret_is_a_long_key_in_base64(text: str) -> None:
    """One that could never verify a signature, or that can be guessed, is refused at start."""
    complaint = problem_with("WEBHOOK_SECRETS", text)

    assert complaint.endswith("must be whsec_ and 24 bytes or more in base64")
