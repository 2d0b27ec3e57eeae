"""``HTTPS_PROXY`` and its like: which of them counts, and what is refused."""

import pytest

from config.settings import WorkerSettings, effective, load
from tests.config.environments import SECRET, WORKER
from tests.config.test_settings import problems_of

PLAIN = {**WORKER, "CHANNEL_API_URL": "http://channel.test/open/v4"}
SOCKS = "must start with http:// or https://; proxies of other kinds are not used"
FORM = "must be like http://proxy.example:3128 or http://user:password@proxy.example:3128"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128"),
        ("http://proxy.example:3128/", "http://proxy.example:3128"),
        ("HTTP://proxy.example", "http://proxy.example:80"),
        ("https://proxy.example", "https://proxy.example:443"),
        ("proxy.example:3128", "http://proxy.example:3128"),
        (" http://10.0.0.1:3128 ", "http://10.0.0.1:3128"),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
        (f"http://user:{SECRET}@proxy.example:3128", "http://proxy.example:3128"),
        (f"user:{SECRET}@proxy.example:3128", "http://proxy.example:3128"),
    ],
)
def test_a_proxy_is_shown_without_its_login(text: str, shown: str) -> None:
    """Scheme, host and port, in the settings and wherever it is printed."""
    settings = load(WorkerSettings, {**WORKER, "HTTPS_PROXY": text})

    assert shown == str(settings.proxy)
    assert shown == effective(settings)["HTTPS_PROXY"]
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("login", "authorization"),
    [
        ("", None),
        ("user:pass@", "Basic dXNlcjpwYXNz"),
        ("user@", "Basic dXNlcjo="),
        ("us%65r:p%61ss@", "Basic dXNlcjpwYXNz"),
        ("user:p@s/s#?:@", "Basic dXNlcjpwQHMvcyM/Og=="),
        ("user:\ube44\ubc00@", "Basic dXNlcjrruYTrsIA="),
    ],
)
def test_the_login_becomes_a_header(login: str, authorization: str | None) -> None:
    """https://www.rfc-editor.org/rfc/rfc7617, in UTF-8."""
    environ = {**WORKER, "HTTPS_PROXY": f"http://{login}proxy.example:3128"}

    proxy = load(WorkerSettings, environ).proxy

    assert proxy is not None
    assert authorization == proxy.authorization


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("socks5://proxy.example:1080", SOCKS),
        ("socks5h://proxy.example:1080", SOCKS),
        ("ftp://proxy.example", SOCKS),
        ("http://", FORM),
        ("http://proxy.example/proxy.pac", FORM),
        ("http://proxy.example:http", FORM),
        ("http://a..b:3128", FORM),
        ("http://proxy.example:0", "must have a port from 1 to 65535"),
        ("http://proxy.example:65536", "must have a port from 1 to 65535"),
        (f"socks5://user:{SECRET}@proxy.example:1080", SOCKS),
        (f"http://user:{SECRET}@proxy.example:many", FORM),
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_that_cannot_be_used_is_refused(name: str, text: str, sentence: str) -> None:
    """At the start, by its name, without quoting it: it may hold a password."""
    assert [f"{name.upper()}: {sentence}"] == problems_of(WorkerSettings, {**WORKER, name: text})


@pytest.mark.parametrize(
    ("environ", "host"),
    [
        ({**WORKER, "HTTPS_PROXY": "one:1", "HTTP_PROXY": "two:2", "ALL_PROXY": "x:3"}, "one"),
        ({**PLAIN, "HTTPS_PROXY": "one:1", "HTTP_PROXY": "two:2", "ALL_PROXY": "x:3"}, "two"),
        ({**WORKER, "HTTP_PROXY": "two:2"}, None),
        ({**PLAIN, "HTTPS_PROXY": "one:1"}, None),
        ({**WORKER, "HTTP_PROXY": "two:2", "ALL_PROXY": "x:3"}, "x"),
        ({**WORKER, "HTTPS_PROXY": "one:1", "ALL_PROXY": "socks5://x:3"}, "one"),
        ({**WORKER, "HTTP_PROXY": "socks5://two:2"}, None),
        ({**WORKER, "HTTPS_PROXY": "upper:1", "https_proxy": "lower:1"}, "lower"),
        ({**WORKER, "HTTPS_PROXY": "upper:1", "https_proxy": " "}, "upper"),
        ({**WORKER, "https_proxy": "lower:1"}, "lower"),
        ({**PLAIN, "http_proxy": "lower:1"}, "lower"),
        ({**WORKER, "HTTPS_PROXY": " "}, None),
        (WORKER, None),
    ],
)
def test_the_scheme_of_the_address_chooses_the_proxy(
    environ: dict[str, str], host: str | None
) -> None:
    """In either case of letters; a proxy that calls do not go through may be of any kind."""
    proxy = load(WorkerSettings, environ).proxy

    assert host == (proxy and proxy.host)


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_no_proxy_is_read_in_either_case(name: str) -> None:
    """As the proxies are."""
    assert "a,b" == load(WorkerSettings, {**WORKER, name: "a,b"}).no_proxy
