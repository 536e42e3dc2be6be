"""The tables for those who create them by other means: as a script, and as MetaData."""

from __future__ import annotations

from sqlalchemy import Dialect, MetaData
from sqlalchemy.dialects import mysql, postgresql, sqlite

from sessiontracker.backend import BackendOptions

from .options import Options
from .schema import Tables
from .server_options import ServerOptions, kind_of
from .servers import tables_of

__all__ = ["ddl", "metadata"]

_DIALECTS = {"postgresql": postgresql, "mysql": mysql, None: sqlite}
_IN_TRANSACTION = ("postgresql", None)
"""The databases whose DDL can be undone, so that there are all of the tables or none."""


def metadata(
    url: str, *, table_prefix: str = "sessiontracker_", schema: str | None = None
) -> MetaData:
    """The tables as Alembic wants them, for its ``target_metadata`` or merged into another:
    those that a tracker uses whose options are the same. Of the ``url`` it counts which kind
    of database it names. Raises: ConfigurationError.

    The tracker then needs ``create_tables = false``, and notes the version of new tables by
    itself.
    """
    options = {"table_prefix": table_prefix} | ({} if schema is None else {"schema": schema})
    return _tables(BackendOptions("metadata", url, options)).metadata


def ddl(options: BackendOptions) -> str:
    """A script that creates the tables that a tracker with these options uses.

    Raises: ConfigurationError.
    """
    return _script(_tables(options), kind_of(options))


def _tables(options: BackendOptions) -> Tables:
    if kind_of(options) is None:
        return Tables(Options.of(options).table_prefix)
    return tables_of(ServerOptions.of(options))


def _script(tables: Tables, kind: str | None) -> str:
    """What creates ``tables`` on a server of ``kind``, or in SQLite (None)."""
    dialect: Dialect = _DIALECTS[kind].dialect(paramstyle="named")  # no percent sign is doubled
    statements: list[str] = []
    for version, step in enumerate(tables.steps(), 1):
        statements += [str(ddl.compile(dialect=dialect)).strip() for ddl in step]
        schema = dialect.identifier_preparer.format_table(tables.schema)
        statements.append(
            f"INSERT INTO {schema} (version, oldest) VALUES ({version}, {tables.oldest})"
        )
    if kind in _IN_TRANSACTION:
        statements = ["BEGIN", *statements, "COMMIT"]
    return "".join(f"{statement.replace(chr(9), '  ')};\n" for statement in statements)
