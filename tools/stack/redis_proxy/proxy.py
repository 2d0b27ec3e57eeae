"""Proxied connections to a Redis, and their faults."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum, auto

CHUNK_BYTES = 65_536


class Mode(StrEnum):
    """Faults of a connection to Redis."""

    PASS = auto()
    # Replies come `seconds` late.
    DELAY = auto()
    # Replies come one byte each `seconds`.
    DRIP = auto()
    # Connections are accepted; commands are read and dropped.
    SILENT = auto()
    # A connection falls silent at its first command that contains `mark`.
    SILENT_AT = auto()
    # Redis runs the commands, and its replies are lost.
    CUT_REPLIES = auto()


@dataclass(frozen=True, slots=True)
class LineFault:
    """A mode and its arguments."""

    mode: Mode = Mode.PASS
    seconds: float = 0.0
    mark: str = ""


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class ProxyServer:
    """Server with open connections, which all have the same fault."""

    def __init__(self, upstream_port: int) -> None:
        self.fault = LineFault()
        self.upstream_port = upstream_port
        self._lines: set[ProxiedConnection] = set()

    def set_fault(self, fault: LineFault) -> None:
        """Apply ``fault`` to every connection; ``PASS`` closes those that lost data."""
        self.fault = fault
        if fault.mode is Mode.PASS:
            self.close_lines(only_lossy=True)

    def close_lines(self, *, only_lossy: bool = False) -> None:
        """Close every connection, or only those that lost data."""
        for line in self._lines:
            if line.has_lost or not only_lossy:
                line.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass the data of one client until either side closes."""
        try:
            server = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        except OSError:
            writer.transport.abort()
            return
        line = ProxiedConnection(self, (reader, writer), server)
        self._lines.add(line)
        await line.run()
        self._lines.discard(line)


class ProxiedConnection:
    """Connection of a client, and the one to Redis behind it."""

    def __init__(self, proxy: ProxyServer, client: Stream, server: Stream) -> None:
        self.has_lost = False
        self._proxy = proxy
        self._is_silent = False
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server

    def abort(self) -> None:
        """Reset both connections."""
        self._to_client.transport.abort()
        self._to_server.transport.abort()

    async def run(self) -> None:
        """Pass commands and replies until either side ends."""
        passing = [
            asyncio.create_task(self._pass_commands()),
            asyncio.create_task(self._pass_replies()),
        ]
        await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)
        self.abort()

    async def _pass_commands(self) -> None:
        while chunk := await self._from_client.read(CHUNK_BYTES):
            fault = self._proxy.fault
            self._is_silent |= fault.mode is Mode.SILENT_AT and fault.mark.encode() in chunk
            if self._is_silent or fault.mode is Mode.SILENT:
                self.has_lost = True
            else:
                self._to_server.write(chunk)
                await self._to_server.drain()

    async def _pass_replies(self) -> None:
        while chunk := await self._from_server.read(CHUNK_BYTES):
            fault = self._proxy.fault
            match fault.mode:
                case Mode.SILENT | Mode.CUT_REPLIES:
                    self.has_lost = True
                    continue
                case Mode.DELAY:
                    await asyncio.sleep(fault.seconds)
                case Mode.DRIP:
                    self.has_lost = True
                    await self._drip(chunk, fault.seconds)
                    continue
            self._to_client.write(chunk)
            await self._to_client.drain()

    async def _drip(self, chunk: bytes, seconds: float) -> None:
        for byte in chunk:
            await asyncio.sleep(seconds)
            self._to_client.write(bytes([byte]))
            await self._to_client.drain()
