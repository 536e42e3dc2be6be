"""Which servers a URL names: one, the primary that sentinels know, or a cluster's nodes."""

from __future__ import annotations

import re

from msgspec import Struct

from sessiontracker.backend import ConfigurationError

from .slots import Endpoint

__all__ = ["Target", "target_of"]

_SCHEMES = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}
_UNIX = ("unix", "valkey+unix")
_HOST = re.compile(r"(\[[^\]]+\]|[^\[\]:,/?#]+)(?::(\d+))?")
_QUOTED = "in a password write %40 for @, %2F for /, %3F for ? and %23 for #"
_REFUSED = re.compile(r"[?&](decode_responses|max_connections)=")


class Target(Struct, frozen=True):
    """``url`` is one of redis-py's, with a single host. ``service``: what the sentinels at
    ``hosts`` call the primary; without one, ``hosts`` are nodes of a ``cluster``."""

    url: str
    hosts: tuple[Endpoint, ...] = ()
    service: str = ""
    cluster: bool = False

    def __repr__(self) -> str:
        return f"Target({self.hosts!r})"  # the url may hold a password


def target_of(where: str, text: str | None) -> Target:
    """Raises: ConfigurationError."""
    if not text:
        raise ConfigurationError(
            f'{where}: say which server, for instance url = "redis://localhost:6379"'
        )
    scheme, separator, rest = text.partition("://")
    plain, plus, topology = scheme.partition("+")
    if separator and _REFUSED.search(rest):
        raise ConfigurationError(f"{where}: leave out decode_responses and max_connections")
    before, _, query = rest.partition("?")
    place, _, path = before.partition("/")
    if separator and "#" in rest:  # redis-py reads no further than that
        raise ConfigurationError(f"{where}: a # means nothing here: {_QUOTED}")
    if separator and ((place and "@" in path) or "@" in query.partition("=")[0]):
        raise ConfigurationError(f"{where}: the @ must stand before the first / and ?: {_QUOTED}")
    if separator and scheme in _UNIX:
        return Target(f"unix://{rest}")
    if separator and plain in _SCHEMES and (not plus or topology in ("cluster", "sentinel")):
        if not plus:
            return Target(f"{_SCHEMES[plain]}://{rest}")
        return _several(where, _SCHEMES[plain], rest, topology)
    raise ConfigurationError(
        f"{where}: a URL of Redis begins with redis://, rediss://, unix://, redis+sentinel:// or "
        "redis+cluster:// (or with valkey in place of redis)"
    )


def _several(where: str, scheme: str, rest: str, topology: str) -> Target:
    place, mark, query = rest.partition("?")
    server, _, path = place.partition("/")
    user, at, names = server.rpartition("@")
    sentinel = topology == "sentinel"
    hosts = tuple(_host(where, name, 26379 if sentinel else 6379) for name in names.split(","))
    service, _, database = path.partition("/") if sentinel else ("", "", path)
    if sentinel and not service:
        raise ConfigurationError(
            f"{where}: name the primary, as the sentinels know it: "
            "redis+sentinel://host1:26379,host2:26379/mymaster"
        )
    if not sentinel and database not in ("", "0"):
        raise ConfigurationError(f"{where}: a Redis Cluster has no databases: leave its number out")
    host, port = hosts[0]
    name = f"[{host}]" if ":" in host else host
    url = f"{scheme}://{user}{at}{name}:{port}/{database}{mark}{query}"
    return Target(url, hosts, service, cluster=not sentinel)


def _host(where: str, name: str, port: int) -> Endpoint:
    found = _HOST.fullmatch(name)
    if found is None:
        raise ConfigurationError(
            f"{where}: the hosts cannot be read: write host1:7000,host2:7001; {_QUOTED}"
        )
    return found[1].strip("[]"), int(found[2] or port)
