"""The kinds of server that there are."""

from __future__ import annotations

from .postgresql import PostgreSQL
from .schema import Tables
from .server import Server
from .server_options import ServerOptions

__all__ = ["server_of"]


def server_of(options: ServerOptions) -> Server:
    """What is said to the server that ``options`` name."""
    return PostgreSQL(Tables(options.table_prefix, revisions=True))
