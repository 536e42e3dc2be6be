"""Owners on Redis: all of an owner's sessions at once against one by one, what comes with a read,
and how many bytes a session weighs: python -m benchmarks.redis_owners URL [SECONDS]

With ``SECONDS``, each answer of the server comes so much later, as if it were on another machine.

One by one is what redis-py does: each session a string, ended or read by a command of its own, and
decoded by msgspec into a struct of the same fields where the session is. To see what is left to
gain, two ways that do less are measured beside it, decoding likewise: one HGETALL of payloads alone
through redis-py, and our own transaction, without metadata, order and who has expired.
"""

from __future__ import annotations

import secrets
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
from redis import Redis

from benchmarks.distance import further_away
from sessiontracker import OwnedSession, SessionTracker
from sessiontracker.backend import BackendOptions, new_id, operations
from sessiontracker.codec import header_of
from sessiontracker.keys import new_scope, new_secret_key, parse_secret_key, scope_of
from sessiontracker.shapes import FINGERPRINT_BYTES
from sessiontracker_redis._sync.backend import RedisBackend
from sessiontracker_redis.options import Options
from sessiontracker_redis.packing import Packer

Address = operations.Address
PAYLOAD = secrets.token_bytes(300)
DAY = 86_400_000
MANY = 1_000
ROUNDS = 7
READS = 1_500


def main(url: str, seconds: str = "0") -> None:
    if not float(seconds):
        run(url)
        return
    with further_away(url, float(seconds)) as distant:
        run(distant)


def run(url: str) -> None:
    prefix = f"bench-{secrets.token_hex(4)}:"
    client = Redis.from_url(url)
    backend = RedisBackend(Options.of(BackendOptions("hot", url, {"prefix": prefix})))
    backend.open()
    try:
        trips = [timed(client.ping) for _ in range(READS)]
        print(f"a round trip   of redis-py: {statistics.median(trips) * 1e6:.0f} µs")
        bench = Bench(backend, client, prefix)
        bench.listing(url)
        bench.ending()
        bench.reading()
        bench.weighing()
    finally:
        backend.close()
        for name in client.scan_iter(f"{prefix}*", count=1_000):
            client.delete(name)
        client.close()


class Login(OwnedSession[dict[str, str]]):
    """What a page of a user's devices shows: 268 bytes."""

    device: str
    agent: str
    address: str
    city: str
    scopes: list[str]
    trusted: bool
    seen: int
    attempts: int


Plain = msgspec.defstruct(
    "Plain", [(field.name, field.type) for field in msgspec.structs.fields(Login)]
)
"""The same fields as a bare Struct."""
HEADER = len(header_of("msgpack", 1, bytes(FINGERPRINT_BYTES)))


def login(number: int) -> dict[str, Any]:
    return {
        "device": "iPhone 15",
        "agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 "
        "(KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
        "address": f"203.0.113.{number % 250}",
        "city": "Lisbon",
        "scopes": ["read", "write", "billing"],
        "trusted": True,
        "seen": 1_764_200_000_000 + number,
        "attempts": 0,
    }


class Bench:
    def __init__(self, backend: RedisBackend, client: Any, prefix: str) -> None:
        self._backend = backend
        self._client = client
        self._prefix = prefix

    def ask(self, *asked: operations.Operation) -> list[operations.Outcome]:
        return self._backend.execute(asked)

    def owner(self, sessions: int) -> Address:
        """One who has so many."""
        scope = new_scope()
        addresses = [secret(scope) for _ in range(sessions)]
        for first in range(0, sessions, 100):
            self.ask(
                *[
                    operations.Start(address, new_id(), PAYLOAD, "alice", idle=DAY)
                    for address in addresses[first : first + 100]
                ]
            )
        return Address("login", scope, "")

    def strings(self, payloads: list[bytes]) -> list[str]:
        """The names of sessions as redis-py would keep them."""
        names = [f"{self._prefix}plain:{secrets.token_hex(16)}" for _ in payloads]
        pipe = self._client.pipeline(transaction=False)
        for name, payload in zip(names, payloads, strict=True):
            pipe.set(name, payload, px=DAY)
        pipe.execute()
        return names

    # All of an owner's -----------------------------------------------------------

    def listing(self, url: str) -> None:
        payloads = [msgspec.msgpack.encode(login(number)) for number in range(MANY)]
        decode = msgspec.msgpack.Decoder(Plain).decode
        client, names = self._client, self.strings(payloads)
        one_hash = f"{self._prefix}hash"
        client.hset(one_hash, mapping=dict(zip(names, payloads, strict=True)))
        with SessionTracker(backend="redis", url=url, prefix=self._prefix) as tracker:
            for number in range(MANY):
                tracker.start(Login(owner="alice", **login(number)))
            address = Address("login", scope_of("login", "alice"), "")
            command = Packer(self._prefix, "", None).evalsha(operations.ListOwner(address))
            node = self._backend._topology.primaries().popitem()[1]

            def transaction() -> list[Any]:
                [[_, _, _, stored, _]] = node.ask(5.0, command)
                return [decode(payload[HEADER:]) for payload in stored[1::2]]

            ways: list[Callable[[], list[Any]]] = [
                lambda: [decode(client.get(name)) for name in names],
                lambda: tracker.list_sessions(Login, "alice"),
                lambda: [decode(payload) for payload in client.hgetall(one_hash).values()],
                transaction,
            ]
            assert {len(way()) for way in ways} == {MANY}
            rounds = [[timed(way) for way in ways] for _ in range(3 * ROUNDS)]
            tracker.delete_all(Login, "alice")
        one, *others = (statistics.median(each) * 1e3 for each in zip(*rounds, strict=True))
        print(f"list_sessions  of {MANY}: one by one {one:7.1f} ms (wanted at once: 1/25)")
        names = ["list_sessions", "bare HGETALL", "bare transaction"]
        for way, (name, took) in enumerate(zip(names, others, strict=True), 1):
            ratio = statistics.median(each[0] / each[way] for each in rounds)
            print(f"  {name:17} {took:6.2f} ms: 1/{ratio:.1f}")

    def ending(self) -> None:
        client = self._client

        def finish(name: str) -> None:
            payload = client.get(name)
            client.set(name + ":finished", payload, px=DAY)
            client.delete(name)

        self._compare("delete_all", client.delete, lambda a: operations.EndOwner(a, new_id()), 40)
        self._compare("finish_all", finish, lambda a: operations.EndOwner(a, new_id(), DAY), 15)

    def _compare(
        self,
        name: str,
        one: Callable[[str], object],
        all_: Callable[[Address], operations.Operation],
        limit: int,
    ) -> None:
        times: list[tuple[float, float]] = []
        for _ in range(ROUNDS):
            names, owner = self.strings([PAYLOAD] * MANY), self.owner(MANY)
            one_by_one = timed(lambda names=names: [one(name) for name in names])
            at_once = timed(lambda owner=owner: self.ask(all_(owner)))
            times.append((one_by_one, at_once))
            self.ask(operations.EndOwner(owner, new_id()))
        ratio = statistics.median(each / once for each, once in times)
        each, once = (statistics.median(column) * 1e3 for column in zip(*times, strict=True))
        print(
            f"{name:14} of {MANY}: one by one {each:7.1f} ms, at once {once:6.2f} ms: "
            f"1/{ratio:.0f} (wanted: 1/{limit})"
        )

    # What comes with a read ------------------------------------------------------

    def reading(self) -> None:
        scopes = [new_scope(), new_scope()]
        addresses = [secret(scope) for scope in scopes]
        for address in addresses:
            self.ask(operations.Start(address, new_id(), PAYLOAD, "alice", idle=DAY))
        shared = Address("login", scopes[1], "")
        self.ask(operations.WriteShared(shared, new_id(), 0, 0, PAYLOAD, DAY))
        reads = [operations.Read(address, slide=True) for address in addresses]
        times: list[list[float]] = [[], []]
        for _ in range(READS):
            for which, read in enumerate(reads):
                times[which].append(timed(lambda read=read: self.ask(read)))
        without, with_ = (statistics.median(each) * 1e6 for each in times)
        print(
            f"get            without shared state {without:.0f} µs, with {with_:.0f} µs: "
            f"{with_ / without:.2f} (wanted: 1.3)"
        )

    # Bytes -----------------------------------------------------------------------

    def weighing(self) -> None:
        plain = self._weigh(MANY, lambda: [self.ask(*starts("", 100)) for _ in range(10)])
        for sessions in (5, MANY):
            sizes = [sessions] * (MANY // sessions)
            owned = self._weigh(MANY, lambda sizes=sizes: [self.owner(size) for size in sizes])
            print(
                f"bytes          of a session, {sessions:5} an owner: {owned:.0f}, of a plain one "
                f"{plain:.0f}: {owned - plain:+.0f} (wanted: +150)"
            )

    def _weigh(self, count: int, fill: Callable[[], object]) -> float:
        before = self._client.info("memory")["used_memory"]
        fill()
        return (self._client.info("memory")["used_memory"] - before) / count


def secret(scope: str) -> Address:
    """Where a session with a new secret key is."""
    place = parse_secret_key(new_secret_key(scope), owned=bool(scope))
    assert place is not None
    return Address("login", *place)


def starts(scope: str, count: int) -> list[operations.Operation]:
    return [
        operations.Start(secret(scope), new_id(), PAYLOAD, "alice", idle=DAY) for _ in range(count)
    ]


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main(*sys.argv[1:])
