"""Sessions and locks in a SQL database: the ``sql`` backend of sessiontracker."""

from __future__ import annotations

from .ddl import metadata

__all__ = ["metadata"]
