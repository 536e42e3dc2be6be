"""Events carry ids and times, and an observer that fails harms nobody."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import msgspec
import pytest

from sessiontracker import events
from sessiontracker.events import Event, LockAcquired, SessionRotated, SessionStarted, notify

NOW = datetime(2026, 11, 24, tzinfo=UTC)
STARTED = SessionStarted(type="checkout", id="sti_abc", owner="alice", version=1, time=NOW)


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def notify(self, event: Event, /) -> None:
        self.events.append(event)


class Broken:
    def notify(self, event: Event, /) -> None:
        raise RuntimeError("no disk")


def test_every_observer_is_told_in_order() -> None:
    first, second = Recorder(), Recorder()
    lock = LockAcquired(type="checkout", id="order-42", time=NOW, token=7, waited=0.5)
    notify((first, second), STARTED)
    notify((first, second), lock)
    assert first.events == second.events == [STARTED, lock]


def test_what_an_observer_raises_is_logged_and_stops_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    after = Recorder()
    with caplog.at_level(logging.ERROR, logger="sessiontracker"):
        notify((Broken(), after), STARTED)
    assert after.events == [STARTED]
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.getMessage() == (
        "Broken raised on SessionStarted of the 'checkout' session 'sti_abc'"
    )


def test_a_signal_to_stop_is_no_failure_of_the_observer() -> None:
    class Interrupted:
        def notify(self, event: Event, /) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        notify((Interrupted(),), STARTED)


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        STARTED.version = 2  # type: ignore[misc]


def test_no_event_has_room_for_a_key() -> None:
    kinds = [kind for name in events.__all__ if _is_event(kind := getattr(events, name))]
    assert SessionRotated in kinds
    allowed = {"type", "id", "old_id", "owner", "time", "version", "token", "waited"}
    allowed |= {"most", "finished", "count", "kept"}  # numbers, and an id
    for kind in kinds:
        assert {field.name for field in msgspec.structs.fields(kind)} <= allowed


def _is_event(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Event)
