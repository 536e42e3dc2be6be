# Generated from backends/sql/sessiontracker_sql/_async/backend.py by scripts/generate_sync.py: edit that.
"""The backend: a batch is one talk with the server, on a connection of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sessiontracker.backend import (
    Asked,
    Backend,
    BackendError,
    BackendUnavailableError,
    Transaction,
)
from sessiontracker.backend import operations as kinds

from ..mixed import carry_out
from ..reaping import reap
from ..scanning import page
from ..server import Server
from ..server_options import ServerOptions
from ..server_steps import ServerSteps
from ..talk import LostError, NotConnectedError, Query, ServerError, Talk
from ..transactions import CallersTransaction
from ..work import Done
from ..writing import outcome_of
from .connections import Connections
from .hints import Hints

__all__ = ["ServerBackend"]


class ServerBackend(Backend):
    """Sessions and locks on one server."""

    look_every = 1.0
    lanes = 2

    def __init__(self, server: Server, options: ServerOptions) -> None:
        self._server = server
        self._where = options.where
        self._create = options.create_tables
        self._clock = options.clock
        self._opening = options.opening
        self._connections = Connections(server, options)
        listening = Connections(server, options.to_listen) if server.channel else None
        self._hints = Hints(server, self._connections, listening)
        self._in_transactions = ServerSteps(server, options.kind, options.where, options.clock)

    def lane_of(self, operation: Asked) -> int:
        """What concerns the store as a whole may take its time: it has a lane of its own; and so
        has reaping, which rests in between."""
        if operation.address is None:
            return -2 if isinstance(operation, kinds.Reap) else -1
        return super().lane_of(operation)

    def open(self) -> None:
        try:
            migration = self._server.migrate(create=self._create)
            self._connections.hold(migration, self._opening)
        except NotConnectedError as error:
            raise self._raised(error.error) from error.error
        except (ServerError, LostError, BackendError) as error:
            self._connections.close()
            raise self._raised(error) from error

    def close(self) -> None:
        self._hints.close()
        self._connections.close()

    def wait(self, ticket: int, timeout: float) -> None:
        self._hints.wait(ticket, timeout)

    def bind(self, connection: Any) -> Transaction:
        return CallersTransaction(connection, self._in_transactions, self._identify)

    def _identify(self) -> object:
        try:
            return self._connections.hold(_identity(self._server))
        except (NotConnectedError, ServerError, LostError) as error:
            lost = error.error if isinstance(error, NotConnectedError) else error
            raise self._raised(lost) from error

    def execute(self, operations: Sequence[Asked]) -> list[kinds.Outcome]:
        steps = [each for each in operations if isinstance(each, kinds.Operation)]
        outcomes = self._steps(steps) if steps else []
        if len(steps) == len(operations):
            return outcomes
        following = iter(outcomes)
        return [
            next(following) if isinstance(each, kinds.Operation) else self._whole(each)
            for each in operations
        ]

    def _steps(self, steps: Sequence[kinds.Operation]) -> list[kinds.Outcome]:
        for operation in steps:
            self._hints.expect(operation)
        try:
            talk = carry_out(self._server, steps, self._clock, self._hints.claimed)
            done = self._connections.hold(talk)
        except (NotConnectedError, BackendError) as error:  # before anything was sent
            done = Done([self._outcome(error)] * len(steps), [])
        for operation, outcome in zip(steps, done.outcomes, strict=True):
            self._hints.note(operation, outcome)
        self._hints.wake(done.wakes)
        return done.outcomes

    def _whole(self, operation: Asked) -> kinds.Outcome:
        try:
            if isinstance(operation, kinds.Scan):
                return self._connections.hold(page(self._server, operation, self._clock))
            if isinstance(operation, kinds.Reap):
                return self._reap(operation.limit)
            now = self._connections.hold(self._server.clock())
            return kinds.Pong(now if self._clock is None else self._clock())
        except (NotConnectedError, ServerError, LostError, BackendError) as error:
            return self._outcome(error)

    def _reap(self, limit: int) -> kinds.Outcome:
        outcome, wakes = self._connections.hold(reap(self._server, limit, self._clock))
        self._hints.wake(wakes)
        return outcome

    # What went wrong ----------------------------------------------------------

    def _outcome(self, error: Exception) -> kinds.Outcome:
        """What is answered where ``error`` came before anything was done."""
        if isinstance(error, ServerError):
            return outcome_of(self._server, error)
        if isinstance(error, LostError):
            return kinds.Unavailable(f"{self._where}: {error}")
        raised = self._raised(error.error if isinstance(error, NotConnectedError) else error)
        # Which server answers may change, by the time that it is asked again.
        if type(raised) is BackendError and not _may_pass(error):
            return kinds.Failed(raised)
        return kinds.Unavailable(str(raised))

    def _raised(self, error: Exception) -> BackendError:
        """The error that opening fails with because of ``error``."""
        if isinstance(error, ServerError):
            reason = self._server.reason(error)
            if reason is not None:
                return BackendUnavailableError(f"{self._where}: {reason}")
            return BackendError(f"{self._where}: {self._server.refusal(error)}")
        if isinstance(error, BackendError):
            return type(error)(f"{self._where}: {error}")
        return BackendUnavailableError(
            f"{self._where}: {self._server.name} does not answer ({error!s}): start "
            "it, or correct the url"
        )


def _identity(server: Server) -> Talk[object]:
    answer = yield Query(f"SELECT {server.identity}")
    return answer.rows[0][0]


def _may_pass(error: Exception) -> bool:
    return isinstance(error, NotConnectedError) and not isinstance(error.error, ServerError)
