"""States and interleavings that broke a promise once."""

from __future__ import annotations

from sessiontracker.memory import AsyncMemoryBackend, MemoryBackend
from sessiontracker.operations import (
    Address,
    Delete,
    Finish,
    Read,
    Reap,
    Reaped,
    Saved,
    Start,
)
from tests.clock import Clock


def at(key: object) -> Address:
    return Address("checkout", "", f"k{key}")


# Memory ----------------------------------------------------------------------


def test_memory_reaps_what_ends_sooner_than_it_once_would(clock: Clock) -> None:
    backend = MemoryBackend(clock=clock, max_sessions=2)
    for key in (1, 2):
        backend.execute([Start(at(key), key, b""), Finish(at(key), key + 10, 1_000)])
    clock.move(2)
    assert backend.execute([Reap(1)]) == [Reaped(1)]
    assert backend.execute([Reap()]) == [Reaped(1)]


def test_memory_is_not_full_of_what_expired_sooner_than_it_once_would(clock: Clock) -> None:
    backend = MemoryBackend(clock=clock, max_sessions=1)
    backend.execute([Start(at(1), 1, b""), Finish(at(1), 2, 1_000)])
    clock.move(2)
    [outcome] = backend.execute([Start(at(2), 3, b"")])
    assert isinstance(outcome, Saved)


async def test_memory_forgets_keys_whose_sessions_would_have_lasted_for_ever(
    clock: Clock,
) -> None:
    backend = AsyncMemoryBackend(clock=clock)
    for key in range(1, 5_001):
        await backend.execute([Start(at(key), key, b""), Delete(at(key), key + 10_000)])
        clock.move(0.1)
    clock.move(100)
    await backend.execute([Reap()])
    assert not backend._store.slots
    assert len(backend._store._agenda) < 200


def test_memory_puts_off_what_lasts_longer_than_it_once_would(clock: Clock) -> None:
    backend = MemoryBackend(clock=clock)
    backend.execute([Start(at(1), 1, b"", idle=1_000)])
    clock.move(0.9)
    backend.execute([Read(at(1), slide=True)])
    clock.move(0.9)
    assert backend.execute([Reap()]) == [Reaped(0)]
    clock.move(0.9)
    assert backend.execute([Reap()]) == [Reaped(1)]
