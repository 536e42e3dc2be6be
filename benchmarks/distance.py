"""A server that is further away: what goes to it, and comes from it, is passed on later."""

from __future__ import annotations

import multiprocessing
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

__all__ = ["further_away"]

_AT_ONCE = 1 << 20  # bytes


@contextmanager
def further_away(url: str, seconds: float) -> Iterator[str]:
    """The URL at which the server of ``url`` answers ``seconds`` later, or somewhat more.

    Half of that passes before a request goes on, half before a reply does. A process of its own
    does it, so that who measures does not share its interpreter.
    """
    parts = urlsplit(url)
    mine, its = multiprocessing.Pipe()
    server = (parts.hostname or "127.0.0.1", parts.port or 6379)
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(its, server, seconds / 2), daemon=True
    )
    process.start()
    try:
        user, at, _ = parts.netloc.rpartition("@")
        yield parts._replace(netloc=f"{user}{at}127.0.0.1:{mine.recv()}").geturl()
    finally:
        process.terminate()
        process.join()


def _serve(said: Connection, server: tuple[str, int], delay: float) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    said.send(listening.getsockname()[1])
    while True:
        client, _ = listening.accept()
        beyond = socket.create_connection(server)
        for source, target in ((client, beyond), (beyond, client)):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_pass_on, args=(source, target, delay), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, delay: float) -> None:
    try:
        while data := source.recv(_AT_ONCE):
            time.sleep(delay)
            target.sendall(data)
    except OSError:
        pass
    target.close()
