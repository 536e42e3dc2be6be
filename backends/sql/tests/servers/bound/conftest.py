"""An application on each database, of either side of the house."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from ..callers import Application
from ..conftest import SERVERS, drop_tables, named_url

PAIRS = [f"{name}-{side}" for name in ("sqlite", *SERVERS) for side in ("async", "sync")]


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(pair: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    name = pair.split("-", maxsplit=1)[0]
    return f"sqlite:///{tmp_path / 'shop.db'}" if name == "sqlite" else named_url(name, request)


@pytest.fixture
def prefix(url: str) -> Iterator[str]:
    """What the names of this test's tables begin with; they go at its end."""
    prefix = f"t{secrets.token_hex(4)}_"
    yield prefix
    if not url.startswith("sqlite"):
        drop_tables(url, prefix)


@pytest_asyncio.fixture
async def application(pair: str, url: str, prefix: str) -> AsyncIterator[Application]:
    asynchronous = pair.endswith("async")
    application = Application(url, asynchronous=asynchronous, prefix=prefix)
    await application.open()
    yield application
    await application.close()
