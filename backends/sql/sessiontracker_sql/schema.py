"""The tables, and how they came to be: one step a version.

One row a key: its active session, its finished one, its lock and its memory side by
side, so that a step on a key concerns exactly one row, and all that shares a type and
a scope is one range of the primary key. One row an owner: what its sessions share.
Nothing is compared but bytes and integers: no collation can fold two keys into one.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, text
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement
from sqlalchemy.types import TypeEngine

from sessiontracker.backend import operations

__all__ = ["OWNED", "Tables"]

OWNED = f"due = {operations.FOREVER} AND scope <> ''"
"""Of which rows an owner's own row says when they are due: those with sessions, or a lease."""


class Tables:
    """The tables under a common prefix, in a ``schema`` of the database's if one is named.
    ``metadata`` holds them all.

    With ``revisions``, each row says which write left it so: for databases that others write
    to between our reading a row and our writing it. With ``partial``, there is an index of some
    rows alone: for databases that have such, and do not find these by the index of what is due
    and the primary key.
    """

    def __init__(
        self,
        prefix: str = "sessiontracker_",
        *,
        revisions: bool = False,
        partial: bool = False,
        schema: str | None = None,
    ) -> None:
        self.metadata = MetaData(schema=schema)
        self.keys = Table(
            f"{prefix}keys",
            self.metadata,
            Column("type", _bytes(255), primary_key=True),
            Column("scope", _bytes(64), primary_key=True),
            Column("key", _bytes(1025), primary_key=True),
            *[Column("revision", BigInteger, nullable=False)] * revisions,
            *_session("active"),
            *_session("finished"),
            Column("finished_finished", BigInteger),
            Column("lease_ticket", BigInteger),
            Column("lease_token", BigInteger),
            Column("lease_until", BigInteger),
            Column("lease_holder", _bytes()),
            Column("queue", _bytes()),
            Column("lock_token", BigInteger),
            Column("lock_kept", BigInteger),
            Column("lock_released", BigInteger),
            Column("deed_id", BigInteger),
            Column("deed_time", BigInteger),
            # No later than when there is something to reap: what only moves it further
            # away leaves it alone, and with it the index.
            Column("due", BigInteger, nullable=False),
        )
        self.due = Index(f"{prefix}keys_due", self.keys.c.due)
        # An owner's that hold sessions, however many rows only remember some that have ended.
        its = self.keys.c.type, self.keys.c.scope
        self.owned = (
            Index(f"{prefix}keys_owned", *its, postgresql_where=text(OWNED)) if partial else None
        )
        # An owner's: what its sessions share, and its memory.
        self.owners = Table(
            f"{prefix}owners",
            self.metadata,
            Column("type", _bytes(255), primary_key=True),
            Column("scope", _bytes(64), primary_key=True),
            *[Column("revision", BigInteger, nullable=False)] * revisions,
            # Until when others leave it to who reserved it, by that revision.
            *[Column("reserved_until", BigInteger)] * revisions,
            Column("shared_payload", _bytes(2**32 - 1)),
            Column("shared_version", BigInteger),
            Column("shared_write", BigInteger),
            Column("shared_kept", BigInteger),
            Column("ending_id", BigInteger),
            Column("ending_time", BigInteger),
            Column("ending_count", BigInteger),
            Column("due", BigInteger, nullable=False),
        )
        self.owners_due = Index(f"{prefix}owners_due", self.owners.c.due)
        self.schema = Table(
            f"{prefix}schema",
            self.metadata,
            Column("version", Integer, primary_key=True, autoincrement=False),
            # The oldest version whose code may still use these tables.
            Column("oldest", Integer, nullable=False),
        )
        self.newest = len(self.steps())
        """The version that this code writes."""

    def steps(self) -> list[list[ExecutableDDLElement]]:
        """What makes version n + 1 of version n, for every n from 0 on.

        A step that is out in the world is never changed: what it made is the next one's
        to alter.
        """
        keys: list[ExecutableDDLElement] = [CreateTable(self.keys), CreateIndex(self.due)]
        if self.owned is not None:
            keys.append(CreateIndex(self.owned))
        owners = CreateTable(self.owners), CreateIndex(self.owners_due)
        return [[*keys, *owners, CreateTable(self.schema)]]

    oldest = 1
    """The oldest version whose code may use what the last step made."""


def _session(place: str) -> list[Column[object]]:
    return [
        Column(f"{place}_payload", _bytes(2**32 - 1)),
        Column(f"{place}_version", BigInteger),
        Column(f"{place}_write", BigInteger),
        Column(f"{place}_updated", BigInteger),
        Column(f"{place}_life", BigInteger),
        Column(f"{place}_owner", _bytes()),
        Column(f"{place}_started", BigInteger),
        Column(f"{place}_idle", BigInteger),
        Column(f"{place}_ends", BigInteger),
        Column(f"{place}_slid", BigInteger),
        Column(f"{place}_expires", BigInteger),
    ]


def _bytes(most: int = 2**24 - 1) -> TypeEngine[bytes]:
    """Bytes, ``most`` of them; short ones may stand in a key."""
    if most < 2**16:
        other: TypeEngine[bytes] = mysql.VARBINARY(most)
    else:
        other = mysql.MEDIUMBLOB() if most < 2**24 else mysql.LONGBLOB()
    return LargeBinary().with_variant(other, "mysql", "mariadb")
