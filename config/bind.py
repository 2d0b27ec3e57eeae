"""``BIND``: the address at which web and the worker's metrics are served."""

import ipaddress
import re
import socket

BIND_SENTENCE = "one IP address or host name without a port, such as [::], 0.0.0.0 or 127.0.0.1"

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"(?:{_LABEL}\.)*(?![0-9]+\.?$){_LABEL}\.?")


def default_bind() -> str:
    """Return every address of the host: of IPv6 and IPv4, where the host has IPv6."""
    return "[::]" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104 - a service's default


def parse_bind(text: str) -> str:
    """Return the IP address that ``text`` is or names, one of IPv6 in brackets.

    Raises ValueError.
    """
    bare = text[1:-1] if text[:1] == "[" and text[-1:] == "]" else text
    if _HOST_NAME.fullmatch(text):
        bare = _look_up(text)
    if "%" in bare:  # gunicorn takes no zone
        raise ValueError
    address = ipaddress.ip_address(bare)
    return f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004 - IPv6


def gunicorn_addresses(bind: str, port: int) -> list[str]:
    """Return each ``address:port`` that gunicorn is to bind.

    It leaves to the host whether a socket at ``::`` takes IPv4 as well: the sysctl
    ``net.ipv6.bindv6only``, https://docs.kernel.org/networking/ip-sysctl.html.
    """
    hosts = [bind, "0.0.0.0"] if bind == "[::]" and _is_ipv6_alone() else [bind]  # noqa: S104
    return [f"{host}:{port}" for host in hosts]


def _look_up(name: str) -> str:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        raise ValueError(name) from None
    return str(min(found, key=lambda info: info[0] != socket.AF_INET)[4][0])


def _is_ipv6_alone() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            return bool(probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
    except OSError:
        return False
