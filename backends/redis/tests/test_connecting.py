"""Ways to a server: TLS, sockets, users, protocols, clients; and what a user must be allowed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme
from msgspec.structs import replace
from redis import Redis
from redis.credentials import UsernamePasswordCredentialProvider

from redis_servers import Cluster, Server, free_port, until_replicated
from sessiontracker.backend import BackendUnavailableError
from sessiontracker.operations import (
    Acquire,
    Address,
    Counted,
    CountOwner,
    Delete,
    Deleted,
    Ended,
    EndOwner,
    Finish,
    Found,
    FoundShared,
    Granted,
    Hold,
    Limit,
    Listed,
    ListOwner,
    Outcome,
    Page,
    Ping,
    Pong,
    Queued,
    Read,
    ReadShared,
    Release,
    Released,
    Renew,
    Resume,
    Rotate,
    Saved,
    SavedShared,
    Scan,
    Stamp,
    Start,
    Touch,
    Unavailable,
    Write,
    WriteShared,
)
from sessiontracker_redis._sync.backend import RedisBackend

README = Path(__file__).parents[1] / "README.md"
KINDS = ["valkey", *["redis"] * (shutil.which("redis-server") is not None)]
OpenBackend = Callable[..., RedisBackend]
RULE = re.search(r"ACL SETUSER app on >password (.+)", README.read_text(encoding="utf-8"))


def one(outcomes: list[Outcome]) -> Any:
    [outcome] = outcomes
    return outcome


def use_all(backend: RedisBackend, key: str) -> None:
    """Each operation once, and a waiter that is woken; then the same for an owner's session."""
    use(backend, Address("checkout", "", key))
    owner = Address("login", f"{key:-<22}", "")
    use(backend, replace(owner, key=key))

    def ask(operation: Any) -> Any:
        return one(backend.execute([operation]))

    limit = Limit(1, finish_oldest=True, retention=60_000)
    for number in (1, 2):
        started = ask(Start(replace(owner, key=f"k{number}"), number, b"x", limit=limit))
        assert isinstance(started, Saved)
    assert isinstance(ask(WriteShared(owner, 3, 0, 0, b"dark", 60_000)), SavedShared)
    assert isinstance(ask(ReadShared(owner)), FoundShared)
    assert isinstance(ask(Rotate(replace(owner, key="k2"), 4, Stamp(2, 1, 2), b"y", "k3")), Saved)
    assert isinstance(ask(ListOwner(owner)), Listed)
    assert ask(CountOwner(owner)) == Counted(1)
    assert isinstance(ask(Scan("login", finished=True)), Page)
    assert ask(EndOwner(owner, 5, 60_000)) == Ended(1)
    assert isinstance(ask(EndOwner(owner, 6)), Ended)


def use(backend: RedisBackend, address: Address) -> None:

    def ask(operation: Any) -> Any:
        return one(backend.execute([operation]))

    started = ask(Start(address, 1, b"x", idle=60_000))
    assert isinstance(started, Saved)
    granted = ask(Acquire(address, 7, 60_000, read=True))
    assert isinstance(granted, Granted)
    assert isinstance(ask(Acquire(address, 8, 60_000, look_every=60_000)), Queued)
    hold = Hold(7, granted.token)
    written = ask(Write(address, 2, started.meta.stamp, b"y", hold))
    assert isinstance(written, Saved)
    assert isinstance(ask(Renew(address, 7, granted.token, 60_000)), Granted)
    assert ask(Release(address, 7)) == Released()
    backend.wait(8, 30)  # for a hint, or for the subscription, which is a reason to look, too
    assert isinstance(ask(Acquire(address, 8, 60_000)), Granted)
    assert ask(Release(address, 8)) == Released()
    assert isinstance(ask(Touch(address)), Saved)
    assert isinstance(ask(Finish(address, 3, 60_000)), Found)
    assert isinstance(ask(Resume(address, 4)), Found)
    assert isinstance(ask(Read(address, slide=True, touch_every=0)), Found)
    cursor, found = "", 0
    while True:
        page: Page = ask(Scan(address.type, cursor=cursor))
        found += len(page.items)
        cursor = page.cursor
        if not cursor:
            break
    assert found >= 1
    assert ask(Delete(address, 5)) == Deleted(True)
    assert isinstance(ask(Ping()), Pong)


# TLS and sockets -------------------------------------------------------------


@pytest.fixture(params=KINDS[1:])  # the Valkey of the tests speaks no TLS
def secure(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Server, str]]:
    """A server that speaks TLS, with a certificate of an authority that is made for it."""
    authority = trustme.CA()
    mine = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    mine.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    tls = {
        "tls_port": free_port(),
        "tls_ca_cert_file": tmp_path / "authority.pem",
        "tls_cert_file": tmp_path / "server.pem",
        "tls_key_file": tmp_path / "server.pem",
        "tls_auth_clients": "no",
    }
    server = Server(request.param, **tls).start()
    yield server, f"rediss://localhost:{tls['tls_port']}"
    server.stop()


def test_tls(secure: tuple[Server, str], open_backend: OpenBackend, tmp_path: Path) -> None:
    _, url = secure
    use_all(open_backend(f"{url}?ssl_ca_certs={tmp_path / 'authority.pem'}"), "kone")
    with pytest.raises(BackendUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
        open_backend(url)


def test_a_unix_socket(
    server_of: Callable[..., Server], open_backend: OpenBackend, tmp_path: Path
) -> None:
    server_of("valkey", unixsocket=tmp_path / "socket")
    use_all(open_backend(f"unix://{tmp_path / 'socket'}"), "kone")


# Users and protocols ---------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3])
def test_protocols(any_url: str, open_backend: OpenBackend, protocol: int) -> None:
    use_all(open_backend(any_url, protocol=protocol), "kone")


def test_a_credential_provider(admin: Redis, url: str, open_backend: OpenBackend) -> None:
    admin.acl_setuser(
        "provided",
        enabled=True,
        passwords=["+pw"],
        keys=["*"],
        channels=["*"],
        categories=["+@all"],
    )
    provider = UsernamePasswordCredentialProvider("provided", "pw")
    backend = open_backend(url, credential_provider=provider)
    use_all(backend, "kone")
    assert "provided" in {each["user"] for each in admin.client_list()}
    backend.close()
    admin.acl_deluser("provided")


def allow(server: Server, prefix: str) -> None:
    """The user ``app``, as the README has it, but with the test's prefix."""
    assert RULE is not None
    rule = RULE[1].replace("st:", prefix).split()
    server.ask("ACL", "SETUSER", "app", "reset", "on", ">password", *rule)


@pytest.mark.parametrize(
    "kind", ["valkey", *["redis"] * (shutil.which("redis-server") is not None)]
)
def test_the_rights_that_suffice(
    server_of: Callable[..., Server], kind: str, open_backend: OpenBackend, prefix: str
) -> None:
    server, replica = server_of(kind), server_of(kind)
    replica.ask("REPLICAOF", "127.0.0.1", server.port)
    until_replicated(server)
    allow(server, prefix)
    mine = {"username": "app", "password": "password"}
    use_all(open_backend(server.url, **mine), "kone")
    server.ask("SCRIPT FLUSH")
    use_all(open_backend(server.url, wait_replicas=1, **mine), "ktwo")
    assert not server.ask("ACL", "LOG")


def test_the_rights_that_suffice_on_a_cluster(
    cluster: Cluster, open_backend: OpenBackend, prefix: str
) -> None:
    for server in cluster.servers:
        allow(server, prefix)
    mine = {"username": "app", "password": "password"}
    for url in (cluster.url, cluster.primaries[0].url):
        backend = open_backend(url, **mine)
        for number in range(10):
            use_all(backend, f"k{number}{url}")
    source, target = cluster.owner(0), cluster.owner(16383)
    cluster.migrate(0, source, target)
    cluster.migrate(0, target, source)
    for server in cluster.servers:
        assert not server.ask("ACL", "LOG")
        server.ask("ACL", "DELUSER", "app")


def test_credentials_that_cannot_be_had(
    server_of: Callable[..., Server], open_backend: OpenBackend, address: Address
) -> None:
    """Nothing was sent, and they are asked for again."""

    class Provider(redis.CredentialProvider):
        fails = True

        def get_credentials(self) -> tuple[str, str]:
            if self.fails:
                raise LookupError("the vault is sealed")
            return "default", "sesame"

    server = server_of()
    server.ask("CONFIG", "SET", "requirepass", "sesame")
    provider = Provider()
    with pytest.raises(BackendUnavailableError, match="sealed"):
        open_backend(server.url, credential_provider=provider)
    provider.fails = False
    backend = open_backend(server.url, credential_provider=provider)
    provider.fails = True
    with server.client(password="sesame") as admin:
        admin.client_kill_filter(_type="normal")
    outcome = one(backend.execute([Start(address, 1, b"x")]))
    assert isinstance(outcome, Unavailable)
    assert "sealed" in outcome.reason


# Clients and prefixes --------------------------------------------------------


@pytest.mark.parametrize("pool", [redis.ConnectionPool, redis.BlockingConnectionPool])
def test_a_client_stays_open(url: str, open_backend: OpenBackend, pool: Any) -> None:
    with Redis(connection_pool=pool.from_url(url)) as client:
        client.ping()
        backend = open_backend(None, client=client)
        use_all(backend, "kone")
        backend.close()
        assert client.ping()


async def test_a_client_stays_open_async(url: str, open_async: Any, address: Address) -> None:
    async with redis.asyncio.Redis.from_url(url, socket_timeout=7) as client:
        await client.ping()
        backend = await open_async(None, client=client)
        assert isinstance(one(await backend.execute([Start(address, 1, b"x")])), Saved)
        await backend.close()
        assert await client.ping()
        # Its connections are as they were: nobody waits there for ever.
        connection = await client.connection_pool.get_connection()
        assert connection.socket_timeout == client.get_connection_kwargs()["socket_timeout"]
        await client.connection_pool.release(connection)


def test_prefixes_keep_applications_apart(
    any_url: str, open_backend: OpenBackend, prefix: str, address: Address
) -> None:
    ours, theirs = open_backend(any_url), open_backend(any_url, prefix=f"{prefix}other:")
    ours.execute([Start(address, 1, b"ours", idle=60_000)])
    theirs.execute([Start(address, 1, b"theirs", idle=60_000)])
    assert one(ours.execute([Read(address)])).payload == b"ours"
    assert one(theirs.execute([Read(address)])).payload == b"theirs"
    found: list[bytes] = []
    cursor = ""
    while True:
        page: Page = one(ours.execute([Scan(address.type, cursor=cursor)]))
        found += [item.payload for item in page.items]
        cursor = page.cursor
        if not cursor:
            break
    assert found == [b"ours"]
