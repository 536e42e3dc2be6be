"""A store that raised, or that nobody can read: what came of it is an outcome."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import pytest

from sessiontracker.backend import CompareAndSwapBackend
from sessiontracker.blobs import slot_name
from sessiontracker.errors import BackendError, BackendUnavailableError, CapabilityError
from sessiontracker.operations import (
    Acquire,
    Address,
    Broken,
    Delete,
    Deleted,
    Failed,
    Finish,
    Found,
    Missing,
    NoAnswer,
    Page,
    Ping,
    Queued,
    Read,
    Reap,
    Reaped,
    Release,
    Saved,
    Scan,
    Start,
    Unavailable,
    Unknown,
    Write,
)
from tests.clock import Clock
from tests.lossy_store import LossyStore, Server
from tests.swapping import HERE, Scripted, Threads, ask, stamp_of

NAME = slot_name(HERE)


@pytest.fixture
def server(clock: Clock) -> Server:
    return Server(clock)


# A store that raised: what came of it? ------------------------------------------------------


@pytest.mark.parametrize("fate", ["before", "after", "late"])
async def test_after_a_store_that_raised_another_load_finds_out(server: Server, fate: str) -> None:
    backend = Scripted(server, fate)
    stamp = stamp_of(await ask(backend, Start(HERE, 1, b"0")))
    assert stamp.version == 1
    for late in backend.delayed:
        assert not late(), "what comes late comes too late"
    assert stamp_of(await ask(backend, Read(HERE))) == stamp


async def test_the_whole_batch_is_told_apart(server: Server) -> None:
    backend = Scripted(server, "after")
    outcomes = await backend.execute(
        [Start(HERE, 1, b"0"), Finish(HERE, 2, 0), Delete(HERE, 3), Start(HERE, 4, b"1")]
    )
    assert [type(outcome) for outcome in outcomes] == [Saved, Found, Deleted, Saved]


async def test_what_others_built_upon_meanwhile_is_unknown(server: Server) -> None:
    class Overtaken(Scripted):
        async def store(self, slot: str, blob: bytes | None, if_tag: int) -> bool:
            try:
                return await super().store(slot, blob, if_tag)
            except ConnectionError:
                other = LossyStore(server)
                found = stamp_of(await ask(other, Read(HERE)))
                await ask(other, Write(HERE, 50, found, b"2"))
                raise

    backend = Overtaken(server, "done", "after")
    stamp = stamp_of(await ask(backend, Start(HERE, 1, b"0")))
    assert await ask(backend, Write(HERE, 2, stamp, b"1")) == Unknown()
    assert stamp_of(await ask(backend, Read(HERE))).version == 3


async def test_a_delayed_request_comes_too_late_once_its_writer_was_answered(
    server: Server, clock: Clock
) -> None:
    class Slow(Scripted):
        async def store(self, slot: str, blob: bytes | None, if_tag: int) -> bool:
            try:
                return await super().store(slot, blob, if_tag)
            except TimeoutError:
                clock.now += 2_000_000  # and meanwhile the session expires
                raise

    backend = Slow(server, "done", "late")
    stamp = stamp_of(await ask(backend, Start(HERE, 1, b"0", idle=1_000)))
    outcome = await ask(backend, Write(HERE, 2, stamp, b"1"))
    assert outcome in (Missing(), Unknown())
    assert [late() for late in backend.delayed] == [False]
    assert await ask(backend, Read(HERE)) == Missing()


# What goes wrong is an outcome ----------------------------------------------------------------


async def test_attempts_that_run_out(server: Server) -> None:
    class Losing(LossyStore):
        patience = 0.02

        async def store(self, slot: str, blob: bytes | None, if_tag: int) -> bool:
            return False

    assert isinstance(await ask(Losing(server), Start(HERE, 1, b"")), Unavailable)
    backend = Scripted(server, *["before"] * 1_000)
    backend.patience = 0.02
    assert isinstance(await ask(backend, Start(HERE, 1, b"")), NoAnswer)


async def test_a_store_that_cannot_be_read_did_nothing(server: Server) -> None:
    class Down(LossyStore):
        async def load(self, slot: str) -> Any:
            raise ConnectionError("nobody there")

    outcomes = await Down(server).execute([Start(HERE, 1, b""), Ping(), Scan("checkout"), Reap()])
    assert outcomes[:2] == [Unavailable("ConnectionError: nobody there")] * 2
    with pytest.raises(BackendUnavailableError, match="nobody there"):
        await Down(server).open()


async def test_who_stops_waiting_while_the_store_is_away_is_forgotten(server: Server) -> None:
    class Away(Scripted):
        away = False

        async def load(self, slot: str) -> Any:
            if self.away:
                raise ConnectionError("nobody there")
            return await super().load(slot)

    backend = Away(server)
    await ask(backend, Acquire(HERE, 1, 60_000))
    assert isinstance(await ask(backend, Acquire(HERE, 2, 60_000)), Queued)
    assert len(backend._wakes) == len(backend._line) == 1
    backend.away = True
    assert isinstance(await ask(backend, Release(HERE, 2)), Unavailable)
    assert len(backend._wakes) == len(backend._line) == 0


async def test_a_store_that_went_away_after_a_request_gives_no_answer(server: Server) -> None:
    class Gone(Scripted):
        async def load(self, slot: str) -> Any:
            if self.stores:
                raise ConnectionError("nobody there")
            return await super().load(slot)

    assert isinstance(await ask(Gone(server, "after"), Start(HERE, 1, b"")), NoAnswer)


async def test_an_error_of_ours_goes_to_the_caller_as_it_is(server: Server) -> None:
    class Full(LossyStore):
        async def store(self, slot: str, blob: bytes | None, if_tag: int) -> bool:
            raise BackendError("full: delete something")

    outcome = await ask(Full(server), Start(HERE, 1, b""))
    assert isinstance(outcome, Failed)
    assert str(outcome.error) == "full: delete something"


async def test_what_cannot_be_encoded_fails_alone(server: Server) -> None:
    backend = LossyStore(server)
    bad, login = Address("checkout", "", "k\ud800"), Address("login", "a" * 22, "kios")
    outcomes = await backend.execute(
        [
            Start(HERE, 1, b""),
            Start(bad, 2, b""),
            Start(login, 3, b"", owner="alice"),
            Start(Address("login", login.scope, "kandroid"), 4, b"", owner="\ud800"),
        ]
    )
    assert [type(outcome) for outcome in outcomes] == [Saved, Failed, Saved, Failed]


async def test_without_a_list_of_slots_neither_scan_nor_reap(server: Server) -> None:
    class Blind(Threads):
        slots = CompareAndSwapBackend.slots

    for outcome in Blind(server).execute([Scan("checkout"), Reap()]):
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, CapabilityError)


@pytest.mark.parametrize("damage", ["empty", "alien", "cut", "flipped", "another's", "deep"])
async def test_what_cannot_be_decoded_is_broken_and_stays(server: Server, damage: str) -> None:
    backend, beside = LossyStore(server), Address("checkout", "", "kbeside")
    await backend.execute([Start(HERE, 1, b"payload"), Start(beside, 2, b"")])
    blob, tag = server.blobs[NAME]
    middle = len(blob) // 2
    deep = b"\x94" + blob[8:] + b"\x91" * 100_000 + b"\xc0"  # one item too many
    broken = {
        "empty": b"",
        "alien": b"{}",
        "cut": blob[:-3],
        "flipped": blob[:middle] + bytes([blob[middle] ^ 1]) + blob[middle + 1 :],
        "another's": server.blobs[slot_name(beside)][0],
        "deep": blob[:3] + crc32(deep).to_bytes(4, "big") + deep,
    }[damage]
    server.blobs[NAME] = (broken, tag)
    outcomes = await backend.execute([Read(HERE), Delete(HERE, 3), Read(beside)])
    assert [type(outcome) for outcome in outcomes] == [Broken, Broken, Found]
    assert server.blobs[NAME] == (broken, tag)
    page = await ask(backend, Scan("checkout"))
    assert isinstance(page, Page)
    assert [item.address for item in page.items] == [beside]
    assert await ask(backend, Reap()) == Reaped(0)
    assert server.blobs[NAME] == (broken, tag)
