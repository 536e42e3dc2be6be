"""How much Hypothesis does: a little by default, a lot with ``--hypothesis-profile=long``; and the
clock of a test's own stores."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.clock import Clock

# A busy machine is slow, not wrong: no deadlines.
settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile(
    "long",
    settings.get_profile("default"),
    max_examples=4_000,
    stateful_step_count=100,
)
settings.load_profile("default")


@pytest.fixture
def clock() -> Clock:
    return Clock()
