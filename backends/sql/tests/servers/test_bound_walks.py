"""The machine's answers, whether a step is the tracker's own or in a caller's transaction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import create_engine

from drivers import with_driver
from sessiontracker.backend import Asked, operations
from sessiontracker.testing.harness import Clock
from sessiontracker.testing.subject import Subject
from sessiontracker.testing.test_model import walk

from .conftest import SERVERS, drop_tables, named_url

WALKS = 4


class Mixed:
    """A backend of which every other step is one of a transaction, or is tried in one that is
    rolled back, and taken by the backend then."""

    def __init__(self, backend: Any, engine: Any, random: Random) -> None:
        self._backend = backend
        self._engine = engine
        self._random = random

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def execute(self, asked: list[Asked]) -> list[operations.Outcome]:
        return [self._execute(each) for each in asked]

    def _execute(self, asked: Asked) -> operations.Outcome:
        if not isinstance(asked, operations.Operation) or self._random.random() < 0.4:
            [outcome] = self._backend.execute([asked])
            return outcome
        with self._engine.connect() as connection:
            transaction = self._backend.bind(connection)
            outcome = transaction.execute(asked)
            if self._random.random() < 0.3:
                connection.rollback()
                outcome = transaction.execute(asked)
            connection.commit()
            return outcome


@pytest.fixture(params=["sqlite", *SERVERS])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'walks.db'}"
    return named_url(request.param, request)


@pytest.fixture
def subject(url: str) -> Iterator[Subject]:
    prefix = "walks_"
    yield Subject.found("sql", {"url": url, "table_prefix": prefix})
    if not url.startswith("sqlite"):
        drop_tables(url, prefix)


def test_every_answer_is_the_machines(subject: Subject, url: str) -> None:
    engine = create_engine(with_driver(url, asynchronous=False))
    for number in range(WALKS):
        store = subject.open("sync", Clock())
        store._sync = Mixed(store._sync, engine, Random(number))  # type: ignore[assignment]
        walk(subject, store, f"bound/{number}", elsewhere=number % 2 == 1)
        store.close()
    engine.dispose()
