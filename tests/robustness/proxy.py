"""A proxy between clients and a server: what may happen to bytes on their way, happens here."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from random import Random
from typing import Any, NamedTuple, Self, TypeVar

__all__ = ["CALM", "Proxy", "Weather"]

T = TypeVar("T")

PATIENCE = 60.0  # s
AT_ONCE = 65_536  # bytes
APART = 0.0003  # s, so that pieces are not put together again


class Weather(NamedTuple):
    """How bytes travel. Times are in s."""

    delay: float = 0.0
    """They come later, by up to so much."""
    gather: float = 0.0
    """What is sent within so long comes at once."""
    most: int = 0
    """So many bytes at a time, or fewer; 0: as they are sent."""
    no_requests: bool = False
    """Requests wait until the weather changes."""
    no_replies: bool = False
    """Replies wait until the weather changes."""
    swallows: bool = False
    """Replies are never seen: the connections on which some came are cut when it changes."""


CALM = Weather()


class Proxy:
    """Clients connect to ``port`` of this machine; the server is at ``target``, which is its host
    and port, or the path of its socket. It works in a thread of its own."""

    def __init__(self, target: tuple[str, int] | str) -> None:
        self.weather = CALM
        self.port = 0
        self._target = target
        self._random = Random(0)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._changed = asyncio.Condition()
        self._connections: dict[_Connection, asyncio.Task[Any]] = {}

    def start(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def stop(self) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @contextmanager
    def bad(self, weather: Weather) -> Iterator[None]:
        """Meanwhile ``weather`` is as it is; afterwards it is calm."""
        self._do(self._become(weather))
        try:
            yield
        finally:
            self._do(self._become(CALM))

    def cut(self) -> int:
        """End all connections at once, on both sides; how many there were."""
        return self._do(self._cut())

    # In its thread

    def _do(self, step: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(step, self._loop).result(PATIENCE)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        self._server.close()
        under_way = list(self._connections.values())
        await self._cut()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _become(self, weather: Weather) -> None:
        for connection in list(self._connections):
            if connection.is_deaf:
                connection.abort()
        async with self._changed:
            self.weather = weather
            self._changed.notify_all()

    async def _cut(self) -> int:
        connections = list(self._connections)
        for connection in connections:
            connection.abort()
        return len(connections)

    async def until_passing(self, *, replies: bool) -> None:
        def is_passing() -> bool:
            return not (self.weather.no_replies if replies else self.weather.no_requests)

        async with self._changed:
            await self._changed.wait_for(is_passing)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if isinstance(self._target, str):
                server = await asyncio.open_unix_connection(self._target)
            else:
                server = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(self, self._random, (reader, writer), server)
        task = asyncio.current_task()
        assert task is not None
        self._connections[connection] = task
        try:
            await connection.carry()
        finally:
            connection.abort()
            del self._connections[connection]


_Side = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Connection:
    def __init__(self, proxy: Proxy, random: Random, client: _Side, server: _Side) -> None:
        self.is_deaf = False
        self._proxy, self._random = proxy, random
        self._client, self._server = client, server

    async def carry(self) -> None:
        """Until one side has had enough."""
        ways = [
            asyncio.create_task(self._pass(self._client[0], self._server[1], replies=False)),
            asyncio.create_task(self._pass(self._server[0], self._client[1], replies=True)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)

    def abort(self) -> None:
        for _, writer in (self._client, self._server):
            writer.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, replies: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(AT_ONCE):
                data += await self._travels(reader, replies)
                if replies and self._proxy.weather.swallows:
                    self.is_deaf = True
                if replies and self.is_deaf:
                    continue
                await self._arrives(data, writer)

    async def _travels(self, reader: asyncio.StreamReader, replies: bool) -> bytes:
        """It takes its time, and what is sent meanwhile may come with it."""
        weather = self._proxy.weather
        if weather.delay:
            await asyncio.sleep(self._random.uniform(0, weather.delay))
        more = b""
        if weather.gather:
            with suppress(TimeoutError):
                async with asyncio.timeout(weather.gather):
                    while found := await reader.read(AT_ONCE):
                        more += found
        await self._proxy.until_passing(replies=replies)
        return more

    async def _arrives(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        most = self._proxy.weather.most
        while data:
            size = self._random.randint(1, most) if most else len(data)
            piece, data = data[:size], data[size:]
            writer.write(piece)
            await writer.drain()
            if data:
                await asyncio.sleep(APART)
