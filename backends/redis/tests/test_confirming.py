"""wait_replicas: a change counts once replicas have it, and until then nobody is told it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from redis_servers import Cluster, Server, until, until_replicated
from sessiontracker import OutcomeUnknownError, Session, SessionTracker
from sessiontracker.operations import (
    Acquire,
    Address,
    Found,
    Granted,
    Missing,
    NoAnswer,
    Outcome,
    Read,
    Release,
    Released,
    Saved,
    Stamp,
    Start,
    Touch,
    Write,
)
from sessiontracker_redis._sync.backend import RedisBackend

OpenBackend = Callable[..., RedisBackend]


class Order(Session):
    paid: bool = False


def one(outcomes: list[Outcome]) -> Any:
    [outcome] = outcomes
    return outcome


@pytest.fixture
def pair(server_of: Callable[..., Server]) -> Iterator[tuple[Server, Server]]:
    """A primary, and a replica that is up to date."""
    primary, replica = server_of(), server_of()
    replica.ask("REPLICAOF", "127.0.0.1", primary.port)
    until_replicated(primary)
    yield primary, replica
    replica.resume()


def test_what_the_replica_has(
    pair: tuple[Server, Server], open_backend: OpenBackend, address: Address
) -> None:
    primary, replica = pair
    backend = open_backend(primary.url, wait_replicas=1)
    assert isinstance(one(backend.execute([Start(address, 1, b"x")])), Saved)
    assert replica.client().dbsize() > 0  # at once: that is the point


@pytest.mark.parametrize("forgotten", [False, True])
def test_what_it_has_not_is_not_known(
    pair: tuple[Server, Server], open_backend: OpenBackend, address: Address, forgotten: bool
) -> None:
    primary, replica = pair
    backend = open_backend(primary.url, wait_replicas=1, timeout="500ms")
    other = Address("checkout", "", "kother")
    backend.execute([Start(other, 1, b"x"), Acquire(other, 7, 60_000)])
    if forgotten:  # what is sent again, with its script, must be confirmed as well
        primary.ask("SCRIPT FLUSH")
    replica.pause()
    assert isinstance(one(backend.execute([Start(address, 1, b"x")])), NoAnswer)
    # Its repeat writes nothing, and is not confirmed by that.
    again = Start(address, 1, b"x", since=1)
    until(lambda: "wait_replicas" in one(backend.execute([again])).reason, "an answer in time")
    assert isinstance(one(backend.execute([Acquire(address, 8, 60_000)])), NoAnswer)
    # What is only read, refused, slid or let go needs nobody's confirmation.
    patient = open_backend(primary.url, wait_replicas=1)
    batch = [Read(address), Touch(other), Release(other, 7)]
    assert [type(each) for each in patient.execute(batch)] == [Found, Saved, Released]
    nowhere = Address("checkout", "", "knowhere")
    write = Write(nowhere, 9, Stamp(1, 1, 1), b"y")
    assert one(patient.execute([write])) == Missing()
    replica.resume()
    assert isinstance(until_confirmed(backend, again), Saved)
    assert isinstance(until_confirmed(backend, Acquire(address, 8, 60_000)), Granted)
    assert replica.client().dbsize() >= 3


def until_confirmed(backend: RedisBackend, operation: Any) -> Any:
    def answer() -> Outcome | None:
        outcome = one(backend.execute([operation]))
        return None if isinstance(outcome, NoAnswer) else outcome

    return until(answer, f"an answer to {operation}")


def test_a_tracker_says_that_it_does_not_know(pair: tuple[Server, Server], prefix: str) -> None:
    primary, replica = pair
    config = {
        "backends": {
            "hot": {
                "use": "redis",
                "url": primary.url,
                "prefix": prefix,
                "wait_replicas": 1,
                "timeout": "300ms",
            }
        },
        "operation_timeout": "1s",
        "defaults": {"storage": "hot"},
    }
    with SessionTracker(config) as tracker:
        order = tracker.start(Order(key="one"))
        replica.pause()
        order.paid = True
        with pytest.raises(OutcomeUnknownError, match="wait_replicas"):
            tracker.update(order)
        replica.resume()
        assert tracker.get(Order, "one").paid


def test_a_cluster_confirms_too(cluster: Cluster, open_backend: OpenBackend, prefix: str) -> None:
    backend = open_backend(cluster.url, wait_replicas=1)
    places = [Address("checkout", "", f"k{number}") for number in range(30)]
    outcomes = backend.execute([Start(each, 1, b"x", idle=60_000) for each in places])
    assert [type(outcome) for outcome in outcomes] == [Saved] * 30
    replicated = 0
    for server in cluster.servers:
        with Redis.from_url(server.url) as client:
            if client.info("replication")["role"] == "slave":
                replicated += len(list(client.scan_iter(f"{prefix}*:a", count=1000)))
    assert replicated == 30


def test_a_server_without_replicas(open_backend: OpenBackend, url: str, address: Address) -> None:
    backend = open_backend(url, wait_replicas=1, timeout="200ms")
    assert isinstance(one(backend.execute([Start(address, 1, b"x")])), NoAnswer)
    assert isinstance(until_confirmed(backend, Read(address)), Found)
