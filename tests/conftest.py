"""How much Hypothesis does: a little by default, a lot with ``--hypothesis-profile=long``."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

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
