"""The kinds of server that there are."""

from __future__ import annotations

from .mysql import MySQL
from .postgresql import PostgreSQL
from .schema import Tables
from .server import Server
from .server_options import ServerOptions

__all__ = ["server_of", "tables_of"]


def server_of(options: ServerOptions) -> Server:
    """What is said to the server that ``options`` name."""
    tables = tables_of(options)
    return PostgreSQL(tables) if options.kind == "postgresql" else MySQL(tables)


def tables_of(options: ServerOptions) -> Tables:
    """The tables there."""
    partial = options.kind == "postgresql"
    return Tables(options.table_prefix, revisions=True, partial=partial, schema=options.schema)
