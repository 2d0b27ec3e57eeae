"""Runs the proxy, until SIGKILL; each line on the control port is a command in JSON."""

import argparse
import asyncio
import json
import ssl
from pathlib import Path

from tools.stack.redis_proxy.proxy import LineFault, Mode, ProxyServer


async def main(arguments: argparse.Namespace) -> None:
    """Serve clients, and the control connection."""
    proxy = ProxyServer(arguments.upstream)

    async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        obey(proxy, json.loads(await reader.readline()))
        writer.write(b"done\n")
        writer.close()

    tls = None
    if arguments.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(arguments.certificate)
    serving = await asyncio.start_server(
        proxy.serve, "127.0.0.1", arguments.port, ssl=tls, backlog=1024
    )
    await asyncio.start_server(control, "127.0.0.1", arguments.control)
    await serving.serve_forever()


def obey(proxy: ProxyServer, command: dict[str, str | float]) -> None:
    """Carry out one command of the test's."""
    match command:
        case {"upstream": int(port)}:
            proxy.upstream_port = port
        case {"close_lines": _}:
            proxy.close_lines()
        case {"mode": str(mode), "seconds": int() | float() as seconds, "mark": str(mark)}:
            proxy.set_fault(LineFault(Mode(mode), seconds, mark))


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools.stack.redis_proxy", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="where clients connect")
    parser.add_argument("--control", type=int, required=True, help="where commands come")
    parser.add_argument("--upstream", type=int, required=True, help="the port of the Redis")
    parser.add_argument("--certificate", type=Path, help="serve TLS with it")
    return parser


if __name__ == "__main__":
    asyncio.run(main(_arguments().parse_args()))
