# Generated from backends/sql/sessiontracker_sql/_async/hints.py by scripts/generate_sync.py: edit that.
"""Hints to look again: heard on a connection that listens, or seen by looking for all who wait."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterable
from time import monotonic

from sessiontracker.backend import Wakes, operations

from ..optimistic import place_of
from ..server import Server
from ..talk import LostError, NotConnectedError, ServerError
from .connections import Connections
from .runtime import Connection, Worker, sleep

__all__ = ["Hints"]

_FAILURES = (NotConnectedError, LostError, ServerError)
_PAUSE = 0.5  # s, before it is listened again
_FIRST_LOOK, _LATEST_LOOK = 0.005, 0.1  # s
_TICKET = re.compile(r"[0-9]{1,20}")


class Hints:
    """Who waits here.

    The first that does has a connection of its own made that listens: losing it costs only
    looks. Where the server has no such thing, or a pooler is between us, one look for all who
    wait is made again and again, the less often the longer nobody has come, and the longer the
    locks have been in the same hands.
    """

    def __init__(
        self, server: Server, connections: Connections, listening: Connections | None
    ) -> None:
        self._server = server
        self._connections = connections
        self._listening = listening
        self._closed = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Without those who waited in the parent, as a forked child has to."""
        self._process = os.getpid()
        self._wakes = Wakes()
        self._waiting: dict[int, tuple[operations.Address, float]] = {}
        self.claimed: set[int] = set()
        self._worker = Worker()
        self._listener: Connection | None = None
        self._pause = _FIRST_LOOK
        self._holders: set[int] = set()  # as they were seen last

    def expect(self, operation: operations.Operation) -> None:
        """Before an `Acquire` goes out: its hint may be here before its answer is."""
        if self._listener is not None and type(operation) is operations.Acquire:
            if operation.queue:
                self._wakes.note(operation, operations.Queued("", 0, 0))

    def note(self, operation: operations.Operation, outcome: operations.Outcome) -> None:
        """Begin or end to expect hints, as ``outcome`` of ``operation`` has it."""
        if not isinstance(operation, (operations.Acquire, operations.Release)):
            return
        if self._process != os.getpid():
            self._begin_anew()
        self._wakes.note(operation, outcome)
        self.claimed.discard(operation.ticket)
        if isinstance(operation, operations.Release) or type(outcome) is not operations.Queued:
            self._waiting.pop(operation.ticket, None)
            return
        # Who has not looked for two of its intervals has lost its place.
        until = monotonic() + operation.look_every / 500
        if operation.ticket not in self._waiting:
            self._pause = _FIRST_LOOK
        self._waiting[operation.ticket] = operation.address, until
        if not self._worker.is_running and not self._closed:
            self._worker.start(self._look_out)

    def wake(self, tickets: Iterable[int]) -> None:
        """It is said that ``tickets`` have been given claims."""
        for ticket in tickets:
            if ticket in self._waiting:
                self.claimed.add(ticket)
            self._wakes.wake(ticket)

    def wait(self, ticket: int, timeout: float) -> None:
        self._wakes.wait(ticket, timeout)

    def _look_out(self) -> None:
        while not self._closed and self._listening is not None:
            try:
                self._listen(self._listening)
            except _FAILURES:
                pass
            finally:
                self._stop_listening()
            if not self._closed:
                sleep(_PAUSE * random.uniform(0.5, 1.0))
        while not self._closed and self._waiting:
            sleep(self._pause * random.uniform(0.5, 1.0))
            self._pause = min(self._pause * 1.2, _LATEST_LOOK)
            try:
                self._look()
            except _FAILURES:
                pass  # whoever waits looks by itself, too, and is told then what is wrong

    def _listen(self, listening: Connections) -> None:
        """Pass hints on until the connection is lost."""
        listener = self._listener = listening.connect()
        try:
            if not listener.prepares:  # a pooler's, which would listen for whoever comes next
                self._listening = None
                return
            listener.listen(self._server.channel)
            self._wakes.wake_all()  # what was said before has passed us by
            while not self._closed:
                heard = listener.hear()
                self.wake(int(each) for each in heard if _TICKET.fullmatch(each))  # or a stranger's
        finally:
            listener.drop()  # whoever closes may not have seen it yet

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.drop()

    def _look(self) -> None:
        now = monotonic()
        for ticket, (_, until) in list(self._waiting.items()):
            if until < now:
                self._waiting.pop(ticket, None)
                self.claimed.discard(ticket)
        places = {place_of(address) for address, _ in list(self._waiting.values())}
        if places:
            holders = self._connections.hold(self._server.holders(sorted(places)))
            ours = [ticket for ticket in holders if ticket in self._waiting]
            if ours:
                self._pause = _FIRST_LOOK
            elif set(holders) != self._holders:  # it goes from hand to hand: ours may be next
                self._pause = max(self._pause / 2, _FIRST_LOOK)
            self._holders = set(holders)
            self.wake(ours)

    def close(self) -> None:
        self._closed = True
        self._stop_listening()
        self._worker.stop()
