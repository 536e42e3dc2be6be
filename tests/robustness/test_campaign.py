"""Histories under faults, each legal: a short one of each store that is quick to start.

All of them, and many, are ``nox -s robustness``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .campaign import run
from .stores import store_of


@pytest.mark.parametrize("name", ["sqlite", "valkey"])
def test_a_history_is_legal(name: str, tmp_path: Path) -> None:
    with store_of(name, tmp_path) as store:
        history = run(store, name, 1, tmp_path / "history", calls=400)
    assert history.is_legal, (history.illegal, history.undecided, history.strange)
    assert len(history.calls) >= 400
    assert history.done > 100
