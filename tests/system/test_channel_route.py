"""A worker's way to Channel.io: through a proxy, and with a company's own authority."""

from tests.channel.calls import http
from tests.channel.proxy import ForwardProxy
from tests.channel.raw_server import CERTIFICATE, RawServer, say, server_tls
from tools.stack.deployment import Deployment

CHANNEL = http(200, b'{"channel": {}}')
PASSWORD = "proxy-password-85ebca6b"


def test_a_worker_goes_through_the_proxy_that_it_is_given(relay: Deployment) -> None:
    """It logs the proxy without its login, and goes through it to Channel.io and nowhere else."""
    with RawServer(say(CHANNEL), tls=server_tls()) as server, ForwardProxy() as proxy:
        worker = relay.start_worker(
            CHANNEL_API_URL=server.url,
            https_proxy=proxy.origin.replace("//", f"//user:{PASSWORD}@"),
            ALL_PROXY="socks5://127.0.0.1:1",
            NO_PROXY="redis.example",
            SSL_CERT_FILE=str(CERTIFICATE),
            LOG_LEVEL="DEBUG",
        )
        worker.wait_for_line("probe_succeeded")
        worker.kill()

    [line] = worker.lines("channel_route")
    assert (proxy.origin, [str(CERTIFICATE)]) == (line["proxy"], line["authorities"])
    assert {f"CONNECT 127.0.0.1:{server.port} HTTP/1.1".encode()} == {
        head.split(b"\r\n")[0] for head in proxy.received
    }
    assert all(b"Proxy-Authorization: Basic " in head for head in proxy.received)
    assert PASSWORD not in worker.log.read_text()


def test_a_worker_bypasses_the_proxy_for_no_proxy(relay: Deployment) -> None:
    """The stand-in is at an address that NO_PROXY covers; no authority is its own."""
    with ForwardProxy() as proxy:
        worker = relay.start_worker(HTTP_PROXY=proxy.origin, no_proxy="127.0.0.0/8")
        worker.wait_for_line("probe_succeeded")
        worker.kill()
        assert [] == proxy.received_up_to_now()

    [line] = worker.lines("channel_route")
    assert (None, "public") == (line["proxy"], line["authorities"])


def test_a_proxy_that_fails_is_named_in_the_log(relay: Deployment) -> None:
    """The log has the answer of the proxy, and no event fails because of it."""
    with ForwardProxy(authorization="Proxy-Authorization") as proxy:
        worker = relay.start_worker(HTTP_PROXY=proxy.origin)
        worker.wait_for_line("probe_failed")
        worker.kill()

    problem = worker.lines("probe_failed")[0]["problem"]
    assert problem.endswith("the proxy answered 407: it demands another user and password.")
