"""The drivers by which SQLAlchemy's engines reach a database, for event loops and threads."""

from __future__ import annotations

from sqlalchemy.engine import URL, make_url

__all__ = ["with_driver"]

_DRIVERS = {
    "sqlite": ("aiosqlite", "pysqlite"),
    "postgresql": ("asyncpg", "psycopg"),
    "mysql": ("aiomysql", "pymysql"),
}


def with_driver(url: str, *, asynchronous: bool) -> URL:
    """``url`` as an engine wants it, with the driver's name in it."""
    parsed = make_url(url)
    kind = parsed.get_backend_name().replace("mariadb", "mysql")
    return parsed.set(drivername=f"{kind}+{_DRIVERS[kind][0 if asynchronous else 1]}")
