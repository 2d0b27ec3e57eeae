"""Command that runs the proxy; it reads commands in JSON from the control port."""

import argparse
import asyncio
import json
import ssl
from pathlib import Path

from tools.stack.redis_proxy.proxy import LineFault, Mode, ProxyServer


async def main(arguments: argparse.Namespace) -> None:
    """Serve clients and the control port until SIGKILL."""
    proxy = ProxyServer(arguments.upstream)

    async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        execute_command(proxy, json.loads(await reader.readline()))
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


def execute_command(proxy: ProxyServer, command: dict[str, str | float]) -> None:
    """Execute one command of the test."""
    match command:
        case {"upstream": int(port)}:
            proxy.upstream_port = port
        case {"close_lines": _}:
            proxy.close_lines()
        case {"mode": str(mode), "seconds": int() | float() as seconds, "mark": str(mark)}:
            proxy.set_fault(LineFault(Mode(mode), seconds, mark))


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools.stack.redis_proxy", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the port for clients")
    parser.add_argument("--control", type=int, required=True, help="the port for commands")
    parser.add_argument("--upstream", type=int, required=True, help="the port of the Redis")
    parser.add_argument("--certificate", type=Path, help="serve TLS with this file")
    return parser


if __name__ == "__main__":
    asyncio.run(main(_arguments().parse_args()))
