"""The conformance kit: what every backend must pass, first-party or third-party.

    pytest -p sessiontracker.testing.plugin --pyargs sessiontracker.testing \\
        --backend NAME --backend-option url=…

It needs pytest and nothing else. ``docs/writing-a-backend.md`` explains it.
"""

from __future__ import annotations

from .harness import Clock, Store
from .subject import Subject

__all__ = ["Clock", "Store", "Subject"]
