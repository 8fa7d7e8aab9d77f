"""A proxy, which forwards requests and opens tunnels."""

import asyncio
import contextlib

from tests.servers import read_request


class Proxy:
    """Records its requests. `refusal`: the response to every CONNECT, instead of a tunnel."""

    def __init__(self, refusal: str = "") -> None:
        self._refusal = refusal
        self.targets: list[str] = []
        self.authorizations: list[str] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        while True:
            head, body = await read_request(reader)
            method, target, _ = head.decode().split(" ", 2)
            self.targets.append(target)
            for line in head.decode().split("\r\n"):
                if line.lower().startswith("proxy-authorization:"):
                    self.authorizations.append(line.partition(":")[2].strip())
            if method == "CONNECT":
                await self._tunnel(target, reader, writer)
                return
            host, port = target.partition("://")[2].partition("/")[0].split(":")
            onward, back = await asyncio.open_connection(host, int(port))
            back.write(head + body)
            writer.write(await onward.readuntil(b"\r\n\r\n") + await onward.readexactly(2))
            back.close()

    async def _tunnel(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusal:
            writer.write(f"{self._refusal}\r\ncontent-length: 2\r\n\r\nno".encode())
            return
        host, _, port = target.rpartition(":")
        onward, back = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(_carry(reader, back), _carry(onward, writer))
        finally:
            back.transport.abort()


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(64 * 1024):
            sink.write(data)
            await sink.drain()
        sink.close()
