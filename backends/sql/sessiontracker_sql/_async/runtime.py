"""What the drivers offer an event loop: asyncpg. By hand; ``_sync`` has its twin of threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from .. import sqlstates
from ..server_options import ServerOptions
from ..talk import Answer, LostError, NotConnectedError, Query, ServerError

__all__ = ["AsyncConnection", "AsyncWorker", "connect", "sleep"]

sleep = asyncio.sleep
_CLOSING = 2.0  # s


class AsyncConnection:
    """One connection to PostgreSQL, by asyncpg."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.own = driver.get_server_pid()
        self.prepares = False
        """Whether statements may be prepared: no pooler is between us and the server."""
        self._heard: asyncio.Queue[str | None] = asyncio.Queue()

    @property
    def is_usable(self) -> bool:
        """Whether the connection is still there, as far as one can see."""
        return not self._driver.is_closed()

    async def ask(self, query: Query, timeout: float) -> Answer:
        """The answer, within ``timeout`` s. Raises: ServerError, LostError."""
        driver = self._driver
        try:
            if self.prepares:
                return Answer(await driver.fetch(query.text, *query.arguments, timeout=timeout))
            # Without a name it is gone with the transaction, as is what a pooler has lent.
            statement = await driver.prepare(query.text, name="", timeout=timeout)
            return Answer(await statement.fetch(*query.arguments, timeout=timeout))
        except (ValueError, OverflowError, TypeError) as error:  # which no column can hold
            raise ServerError("22000", str(error)) from error
        except (OSError, TimeoutError) as error:
            self.drop()
            raise LostError(_words(error)) from error
        except Exception as error:
            code = getattr(error, "sqlstate", None)
            if code is None or sqlstates.is_lost(code):
                self.drop()
                raise LostError(_words(error)) from error
            raise ServerError(code, str(error)) from error
        except BaseException:
            self.drop()  # whatever is under way in it
            raise

    async def listen(self, channel: str) -> None:
        """Begin to listen. Raises: LostError."""
        heard = self._heard

        def on_notify(connection: Any, process: int, channel: str, payload: str) -> None:
            heard.put_nowait(payload)

        def on_end(connection: Any) -> None:
            heard.put_nowait(None)

        try:
            self._driver.add_termination_listener(on_end)
            await self._driver.add_listener(channel, on_notify)
        except Exception as error:
            self.drop()
            raise LostError(_words(error)) from error

    async def hear(self) -> list[str]:
        """What is said on the channel next. Raises: LostError."""
        payload = await self._heard.get()
        if payload is None:
            raise LostError("the connection that listens was closed")
        return [payload]

    def drop(self) -> None:
        """Close the connection at once, whatever is under way in it."""
        self._driver.terminate()

    async def close(self) -> None:
        """Close the connection, and say so to the server."""
        try:
            await self._driver.close(timeout=_CLOSING)
        except Exception:
            self.drop()


async def connect(options: ServerOptions) -> AsyncConnection:
    """A new connection. Raises: NotConnectedError, ServerError."""
    import asyncpg

    connecting = {"timeout": options.timeout, **options.connect_args}
    try:
        return AsyncConnection(await asyncpg.connect(options.dsn, **connecting))
    except asyncpg.PostgresError as error:
        raise ServerError(error.sqlstate or "", str(error)) from error
    except (OSError, TimeoutError, ValueError, asyncpg.InterfaceError) as error:
        raise NotConnectedError(error) from error


def _words(error: BaseException) -> str:
    return "time was up" if isinstance(error, TimeoutError) else str(error) or repr(error)


class AsyncWorker:
    """One task that works until it is stopped."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._task = asyncio.get_running_loop().create_task(work())

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
