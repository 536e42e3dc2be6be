"""The places, each started once; and what was swept there, in figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from sessiontracker import plugins

from .places import Place, place_of
from .sweeping import Swept


@pytest.fixture(scope="session")
def place_named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Place]]:
    """The place of a name."""
    places: dict[str, Place] = {}
    with ExitStack() as stack:

        def named(name: str) -> Place:
            if name not in places:
                folder: Path = tmp_path_factory.mktemp("place")
                places[name] = stack.enter_context(place_of(name, folder))
            return places[name]

        yield named


@pytest.fixture(autouse=True)
def _plugins_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """To look for what is installed takes longer than most calls, and a tracker is made for each
    cancellation."""
    monkeypatch.setattr(plugins, "entry_points", cache(entry_points))


_figures = pytest.StashKey[dict[str, list[Swept]]]()


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str, Swept], None]:
    """Have what was swept at a place in the report."""
    figures = request.config.stash.setdefault(_figures, {})
    return lambda place, swept: figures.setdefault(place, []).append(swept)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    figures = config.stash.get(_figures, {})
    if figures:
        terminalreporter.section("the sweep: calls, their suspension points, cancellations")
    for place, swept in figures.items():
        points, strikes = (sum(each) for each in zip(*swept, strict=True))
        terminalreporter.write_line(
            f"{place}: {len(swept)} calls, {points} points, {strikes} struck"
        )
